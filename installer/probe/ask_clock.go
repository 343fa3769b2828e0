package probe

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// maxOffset is how far two clocks may be apart before it is worth telling. Certificates
// and indexes are refused long after it, Kerberos at it.
const maxOffset = 5 * time.Minute

// maxAge is the longest time that a cache is believed to have kept an answer.
const maxAge = 365 * 24 * time.Hour

// dated takes the far end's clock from the Date of an answer (RFC 9110, section 6.6.1).
// A cache passes on the Date of when it got the answer and says how long ago that was in
// Age (RFC 9111, section 5.1).
func (c *conversation) dated(date, age string) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	if seconds, err := strconv.ParseUint(age, 10, 31); err == nil {
		at = at.Add(min(time.Duration(seconds)*time.Second, maxAge))
	}
	at = at.UTC()
	c.out.Clock, c.out.Offset = &at, at.Sub(c.env.Now()).Truncate(time.Second)
	if c.clockIsOff() {
		c.note("%s, if %s is right", c.clockTrouble(), at.Format(time.RFC3339))
	}
}

// clockIsOff says whether the far end's clock is known and far from this machine's.
func (c *conversation) clockIsOff() bool {
	return c.out.Clock != nil && c.out.Offset.Abs() > maxOffset
}

// clockTrouble says by how much this machine's clock is wrong, and in which direction.
func (c *conversation) clockTrouble() string {
	direction := "behind"
	if c.out.Offset < 0 {
		direction = "ahead"
	}
	return fmt.Sprintf("this machine's clock is %s %s", span(c.out.Offset.Abs()), direction)
}

// span is a duration as people say it: "40s", "12m", "23h58m", "3 days".
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d.Round(time.Minute) < time.Hour:
		return fmt.Sprintf("%dm", d.Round(time.Minute)/time.Minute)
	case d < 2*day:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d days", d.Round(day)/day)
}
