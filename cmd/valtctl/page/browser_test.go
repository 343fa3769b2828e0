package page

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/repos/testneeds"
)

var update = flag.Bool("update", false, "take the screenshots of docs/ anew")

// browser is one headless Chromium for all pages, with a tab each.
func browser(t *testing.T) context.Context {
	t.Helper()
	testneeds.Of(t, testneeds.Browser)
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return ctx
}

// heard is what a tab asked for and complained of.
type heard struct {
	mu         sync.Mutex
	requests   []string
	complaints []string
}

func (h *heard) listen(event any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		h.requests = append(h.requests, e.Request.URL)
	case *log.EventEntryAdded:
		h.complaints = append(h.complaints, e.Entry.Text)
	case *runtime.EventConsoleAPICalled:
		h.complaints = append(h.complaints, "the console was written to: "+string(e.Type))
	case *runtime.EventExceptionThrown:
		h.complaints = append(h.complaints, e.ExceptionDetails.Text)
	}
}

// open loads a page from a file in a tab of its own.
func open(t *testing.T, ctx context.Context, html []byte) (context.Context, *heard, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, html, 0o600); err != nil {
		t.Fatal(err)
	}
	tab, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	h := &heard{}
	if err := chromedp.Listen(tab, h.listen); err != nil {
		t.Fatalf("listening to Chromium: %v", err)
	}
	url := "file://" + file
	run(t, tab, chromedp.EmulateViewport(1180, 900), chromedp.Navigate(url))
	return tab, h, url
}

func run(t *testing.T, tab context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(tab, actions...); err != nil {
		t.Fatalf("driving Chromium: %v", err)
	}
}

// ask evaluates an expression in the page.
func ask[T any](t *testing.T, tab context.Context, expression string) T {
	t.Helper()
	value, err := chromedp.Run(tab, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("asking the page %s: %v", expression, err)
	}
	return value
}

// do evaluates what has no value.
func do(t *testing.T, tab context.Context, statement string) {
	t.Helper()
	ask[bool](t, tab, "("+statement+", true)")
}

// media shows the page as on another medium, or in another scheme of colours; with
// nothing, as on the screen.
func media(t *testing.T, tab context.Context, p emulation.SetEmulatedMediaParams) {
	t.Helper()
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, p); err != nil {
		t.Fatalf("emulating a medium: %v", err)
	}
}

func TestPagesInABrowser(t *testing.T) {
	ctx := browser(t)
	for name, html := range pages(t) {
		t.Run(name, func(t *testing.T) {
			tab, heard, url := open(t, ctx, html)
			everyElementByKeyboard(t, tab)
			noSidewaysScrolling(t, tab)
			headingsAndNames(t, tab)
			colours(t, tab)
			onPaper(t, tab, name)
			switch name {
			case "check", "check-cloud":
				pictureAndTableAgree(t, tab)
			case "request":
				everyConnectionIsThere(t, tab)
			}
			heard.mu.Lock()
			defer heard.mu.Unlock()
			if len(heard.complaints) > 0 {
				t.Errorf("the browser complains: %q", heard.complaints)
			}
			for _, asked := range heard.requests {
				if address, _, _ := strings.Cut(asked, "#"); address != url && asked != "data:," {
					t.Errorf("the page asks for %s", asked)
				}
			}
			if len(heard.requests) == 0 {
				t.Error("not even the page's own request was seen")
			}
		})
	}
}

// everyElementByKeyboard presses Tab through the page: every link, summary and scrolling
// region gets the focus once, in the page's order, and shows it.
func everyElementByKeyboard(t *testing.T, tab context.Context) {
	t.Helper()
	want := ask[int](t, tab, `(window.stops = [...document.querySelectorAll('a[href], summary, [tabindex="0"]')]).length`)
	var got []int
	for range want {
		run(t, tab, chromedp.KeyEvent(kb.Tab))
		got = append(got, ask[int](t, tab, `stops.indexOf(document.activeElement)`))
	}
	var inOrder []int
	for i := range want {
		inOrder = append(inOrder, i)
	}
	if diff := cmp.Diff(inOrder, got); diff != "" || want < 3 {
		t.Errorf("Tab reaches %d elements; in order (-) and as reached (+):\n%s", want, diff)
	}
	if width := ask[string](t, tab, `getComputedStyle(document.activeElement).outlineWidth`); width == "0px" {
		t.Error("the focus is not shown")
	}
	do(t, tab, `stops[0].focus()`)
	run(t, tab, chromedp.KeyEvent(kb.Enter))
	if id := ask[string](t, tab, `document.activeElement.id`); id != "content" {
		t.Errorf("the skip link leads to %q, not to the content", id)
	}
	for range ask[int](t, tab, `document.querySelectorAll('summary').length`) {
		do(t, tab, `document.querySelector('details:not([open]) summary').focus()`)
		run(t, tab, chromedp.KeyEvent(kb.Enter))
	}
	if shut := ask[int](t, tab, `document.querySelectorAll('details:not([open])').length`); shut > 0 {
		t.Errorf("%d details do not open by keyboard", shut)
	}
	do(t, tab, `document.querySelectorAll('details').forEach(d => d.open = false)`)
}

func noSidewaysScrolling(t *testing.T, tab context.Context) {
	t.Helper()
	for _, width := range []int64{320, 600, 1180} {
		run(t, tab, chromedp.EmulateViewport(width, 700))
		if over := ask[int](t, tab, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
			t.Errorf("at a width of %d the page scrolls sideways by %d", width, over)
		}
	}
}

// headingsAndNames looks at what a screen reader needs: the language, one h1, no level
// left out, ids that are there and once, header cells.
func headingsAndNames(t *testing.T, tab context.Context) {
	t.Helper()
	for what, expression := range map[string]string{
		"no language":                    `document.documentElement.lang === 'en' ? [] : ['html']`,
		"an id stands twice":             `[...document.querySelectorAll('[id]')].map(e => e.id).filter((id, i, all) => all.indexOf(id) !== i)`,
		"a link to nothing":              `[...document.querySelectorAll('a[href^="#"]')].map(a => a.getAttribute('href')).filter(h => !document.getElementById(h.slice(1)))`,
		"a label that is not there":      `[...document.querySelectorAll('[aria-labelledby]')].map(e => e.getAttribute('aria-labelledby')).filter(id => !document.getElementById(id))`,
		"a link to another page":         `[...document.querySelectorAll('[href], [src]')].map(e => e.getAttribute('href') || e.src).filter(h => !h.startsWith('#') && h !== 'data:,')`,
		"a heading leaves out a level":   `[...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.tagName[1]).filter((n, i, all) => i === 0 ? n !== 1 : n > all[i-1] + 1)`,
		"a column's head without scope":  `[...document.querySelectorAll('th:not([scope])')].map(e => e.textContent)`,
		"a script":                       `[...document.querySelectorAll('script')].map(e => e.outerHTML)`,
		"a status without mark and word": `[...document.querySelectorAll('.status')].filter(e => !e.querySelector('use') || !e.textContent.trim()).map(e => e.outerHTML)`,
	} {
		if found := ask[[]any](t, tab, expression); len(found) > 0 {
			t.Errorf("%s: %v", what, found)
		}
	}
}

// contrast is the least contrast of any text to its page (WCAG 2.2, success criterion 1.4.3
// wants 4.5).
const contrast = `(() => {
  const light = c => { const v = c.match(/[\d.]+/g).slice(0, 3).map(x => x / 255).map(x => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4); return .2126*v[0] + .7152*v[1] + .0722*v[2] };
  const back = light(getComputedStyle(document.documentElement).backgroundColor);
  const of = e => { const f = light(getComputedStyle(e).color); return (Math.max(f, back) + .05) / (Math.min(f, back) + .05) };
  return Math.min(...[...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(of));
})()`

func colours(t *testing.T, tab context.Context) {
	t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		media(t, tab, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		if least := ask[float64](t, tab, contrast); least < 4.5 {
			t.Errorf("%s: a text has a contrast of %.2f, want 4.5", scheme, least)
		}
	}
	media(t, tab, emulation.SetEmulatedMediaParams{})
}

// onPaper prints the page as A4 and looks that it is as many sheets as it should be, and
// that what is folded on the screen is unfolded.
func onPaper(t *testing.T, tab context.Context, name string) {
	t.Helper()
	sheet := regexp.MustCompile(`/Type\s*/Page\b[^s]`)
	sheets := map[string][2]int{"check": {10, 26}, "check-cloud": {2, 5}, "check-hosts": {1, 2}, "request": {4, 8}, "request-cloud": {2, 3}, "network": {4, 9}, "rollout": {1, 3}}[name]
	pdf, err := chromedp.Run(tab, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize()))
	if err != nil {
		t.Fatalf("printing the page: %v", err)
	}
	if n := len(sheet.FindAll(pdf, -1)); n < sheets[0] || n > sheets[1] {
		t.Errorf("%d sheets of paper, want %d to %d", n, sheets[0], sheets[1])
	}
	media(t, tab, emulation.SetEmulatedMediaParams{Media: "print"})
	folded := ask[int](t, tab, `[...document.querySelectorAll('details > pre')].filter(e => e.getBoundingClientRect().height === 0 || !e.checkVisibility()).length`)
	if folded > 0 {
		t.Errorf("%d folded texts are missing on paper", folded)
	}
	if shown := ask[string](t, tab, `getComputedStyle(document.querySelector('nav')).display`); shown != "none" {
		t.Error("the links within the page are printed")
	}
	media(t, tab, emulation.SetEmulatedMediaParams{})
}

// screenshots are taken of what a reader of docs/ should see, with -update.
func TestScreenshots(t *testing.T) {
	shots := map[string]int64{"check": 2640, "request": 1300}
	if !*update {
		for name := range shots {
			info, err := os.Stat("../../../docs/" + name + ".png")
			if err != nil || info.Size() > 300_000 {
				t.Errorf("docs/%s.png: %v; want it there, and below 300 kB", name, err)
			}
		}
		return
	}
	ctx := browser(t)
	small := map[string][]byte{"check": checkPageOfASmallSite(t), "request": pages(t)["request"]}
	for name, height := range shots {
		tab, _, _ := open(t, ctx, small[name])
		run(t, tab, chromedp.EmulateViewport(1100, height, chromedp.EmulateScale(0.75)))
		png, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatalf("taking the screenshot: %v", err)
		}
		if err := os.WriteFile("../../../docs/"+name+".png", png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
