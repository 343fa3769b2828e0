package site

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// windowForm is what to write for a window in general.
const windowForm = `write a weekday and two times, such as "Sun 02:00-05:00"`

// parseWindow reads a weekly window. What people write instead is told by what they meant.
func parseWindow(s string) (Window, error) {
	day, times, ok := cutDay(s)
	from, to, dash := cutTimes(times)
	days := weekdays(day)
	switch {
	case len(days) == 0 && dash && day == "":
		return Window{}, &wrong{fmt.Sprintf("%q names no weekday", s), fmt.Sprintf(`write one window for each day, such as "Sun %s"`, plainTimes(from, to))}
	case !ok || len(days) == 0 || !dash:
		return Window{}, &wrong{fmt.Sprintf("%q is not a weekly window", s), windowForm}
	case len(days) > 1:
		return Window{}, &wrong{fmt.Sprintf("%q names several days, and a window has one", s), "write one for each: " + each(days, plainTimes(from, to))}
	}
	start, plainStart := clock(from)
	end, plainEnd := clock(to)
	if start < 0 || end < 0 {
		return Window{}, &wrong{fmt.Sprintf("%q is not a weekly window", s), windowForm}
	}
	w := Window{Day: days[0], From: start, To: end}
	if from == "24:00" || to == "24:00" {
		return w, &wrong{fmt.Sprintf("%q has 24:00, and a day ends with 00:00 of the next", s), fmt.Sprintf("write %q", w)}
	}
	if !plainStart || !plainEnd {
		return w, &wrong{fmt.Sprintf("%q has no times as a clock with 24 hours shows them", s), fmt.Sprintf("write %q", w)}
	}
	if w.From == w.To {
		return w, &wrong{fmt.Sprintf("%q has no length", s), "write an end that differs from the start"}
	}
	if len(strings.Fields(s)) != 2 {
		return w, &wrong{fmt.Sprintf("%q has more than a weekday and two times with - between", s), fmt.Sprintf("write %q", w)}
	}
	return w, nil
}

// cutDay takes a window's days from its times: the times begin at the first digit.
func cutDay(s string) (day, times string, ok bool) {
	i := strings.IndexAny(s, "0123456789")
	if i < 0 {
		return "", "", false
	}
	day, times = s[:i], s[i:]
	return strings.TrimSpace(day), strings.TrimSpace(times), day == "" || strings.HasSuffix(day, " ")
}

func cutTimes(s string) (from, to string, ok bool) {
	from, to, ok = strings.Cut(s, "-")
	if !ok {
		from, to, ok = strings.Cut(s, " to ")
	}
	return strings.TrimSpace(from), strings.TrimSpace(to), ok
}

// weekdays are one day, a range such as Mon-Fri, or several with commas.
func weekdays(s string) []time.Weekday {
	var all []time.Weekday
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		from, ok := parseDay(strings.TrimSpace(first))
		if !ok {
			return nil
		}
		all = append(all, from)
		if !isRange {
			continue
		}
		to, ok := parseDay(strings.TrimSpace(last))
		if !ok {
			return nil
		}
		for d := from; d != to; {
			d = (d + 1) % 7
			all = append(all, d)
		}
	}
	return all
}

func each(days []time.Weekday, times string) string {
	parts := make([]string, len(days))
	for i, d := range days {
		parts[i] = fmt.Sprintf("%q", d.String()[:3]+" "+times)
	}
	return strings.Join(parts, ", ")
}

// plainTimes writes times as a window has them, as far as they can be read.
func plainTimes(from, to string) string {
	start, _ := clock(from)
	end, _ := clock(to)
	if start < 0 || end < 0 {
		return "02:00-05:00"
	}
	return clockText(start) + "-" + clockText(end)
}

var halfDay = regexp.MustCompile(`^(?i)(\d{1,2})(?:[:.]?(\d\d))? ?([ap])\.?m\.?$`)

// clock reads a time of day, since midnight; below 0 where it is none. Plain: it is written
// as a window's times are.
func clock(s string) (at time.Duration, plain bool) {
	if t, err := time.Parse("15:04", s); err == nil {
		return sinceMidnight(t), true
	}
	if s == "24:00" {
		return 0, false
	}
	for _, form := range []string{"15", "1504", "15.04", "15h04", "15:04:05"} {
		if t, err := time.Parse(form, s); err == nil {
			return sinceMidnight(t), false
		}
	}
	m := halfDay.FindStringSubmatch(s)
	if m == nil {
		return -1, false
	}
	hour, _ := strconv.Atoi(m[1])   // one or two digits
	minute, _ := strconv.Atoi(m[2]) // two, or none, which is 0
	if hour < 1 || hour > 12 || minute > 59 {
		return -1, false
	}
	hour %= 12
	if strings.EqualFold(m[3], "p") {
		hour += 12
	}
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute, false
}

func sinceMidnight(t time.Time) time.Duration {
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
}

func parseDay(s string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(s, d.String()) || strings.EqualFold(s, d.String()[:3]) {
			return d, true
		}
	}
	return 0, false
}

// spanForm is what to write for days without changes in general.
const spanForm = `write the first and the last day, such as "2026-12-20/2027-01-03"`

var isoDay = regexp.MustCompile(`\d{4}-\d\d-\d\d`)

// parseBlackout reads the first and the last day of a span.
func parseBlackout(s string) (Blackout, error) {
	first, last, ok := strings.Cut(s, "/")
	from, errFrom := time.Parse(time.DateOnly, first)
	to, errTo := time.Parse(time.DateOnly, last)
	days := isoDay.FindAllString(s, -1)
	switch {
	case ok && errFrom == nil && errTo == nil && to.Before(from):
		return Blackout{}, &wrong{fmt.Sprintf("%q ends before it starts", s), fmt.Sprintf("write %s/%s", last, first)}
	case ok && errFrom == nil && errTo == nil:
		return Blackout{First: from, Last: to}, nil
	case !ok && errFrom == nil:
		return Blackout{}, &wrong{fmt.Sprintf("%q is one day, and a blackout is a span of days", s), fmt.Sprintf("write %s/%s for that day", first, first)}
	case len(days) == 2 && !ok:
		return Blackout{}, &wrong{fmt.Sprintf("%q has no / between its two days", s), fmt.Sprintf("write %s/%s", days[0], days[1])}
	}
	return Blackout{}, &wrong{fmt.Sprintf("%q is not a span of days", s), spanForm}
}
