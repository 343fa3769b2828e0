package docker

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/step"
)

// steady stands between the engine and the bundle while an image is pulled. An engine whose
// pull fails forgets all of the image's layers, those that it has unpacked too. So where the
// controller goes away for a while, what the engine has asked for is held, and goes on at the
// byte where it stopped: a controller that resumes tells the host where its bundle answers.
type steady struct {
	Address  string // host:port, for the engine
	Password string // of this pull, with user steadyUser

	from    func() (step.Carried, error) // where the bundle answers now
	waiting func()                       // told when the bundle does not answer
	absent  *absence
	server  *http.Server
	bundle  *http.Client
}

// absence is the time in which nobody brings the bundle, over all tries of one image.
type absence struct {
	patience time.Duration // what lasts longer is not waited for

	mu   sync.Mutex
	wait *time.Timer   // runs while nobody brings it
	over chan struct{} // closed by wait
}

// ended notes that the bundle answers.
func (a *absence) ended() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wait != nil {
		a.wait.Stop()
		a.wait, a.over = nil, nil
	}
}

// lasts notes that the bundle does not answer.
func (a *absence) lasts() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wait == nil {
		over := make(chan struct{})
		a.wait, a.over = time.AfterFunc(a.patience, func() { close(over) }), over
	}
}

// tooLong is closed when the bundle is not waited for any more; nil while it answers.
func (a *absence) tooLong() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.over
}

// isTooLong says that the bundle is not waited for any more.
func (a *absence) isTooLong() bool {
	select {
	case <-a.tooLong():
		return true
	default:
		return false
	}
}

const steadyUser = "engine"

// patience is how long an image waits for its bundle: for a controller that was killed to be
// followed by one that resumes, which waits for the first one's lease.
const patience = 5 * time.Minute

// askEvery is the pause between two tries to reach the bundle.
const askEvery = time.Second

// serveSteady begins to answer on loopback; Close ends it.
func serveSteady(from func() (step.Carried, error), waiting func(), absent *absence) (*steady, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the engine: %w", err)
	}
	var secret [24]byte
	_, _ = rand.Read(secret[:]) // never fails (crypto/rand)
	s := &steady{Address: l.Addr().String(), Password: hex.EncodeToString(secret[:]), from: from, waiting: waiting, absent: absent,
		bundle: &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true, DialContext: step.DialOurs}}} // no proxy of the host's
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = s.server.Serve(l) }() // it ends with Close
	return s, nil
}

// Close ends it. The engine's pull is over by then.
func (s *steady) Close() error { return s.server.Close() }

// ServeHTTP hands on what the bundle answers.
func (s *steady) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	good := subtle.ConstantTimeCompare([]byte(user+"\x00"+password), []byte(steadyUser+"\x00"+s.Password))
	switch {
	case good != 1:
		w.Header().Set("WWW-Authenticate", `Basic realm="pull"`)
		http.Error(w, "the password of this pull is needed", http.StatusUnauthorized)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "a bundle is only read", http.StatusMethodNotAllowed)
	default:
		s.hand(w, r)
	}
}

// handed are the headers that a registry's visitor needs (distribution-spec, "Pull").
var handed = []string{"Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "Docker-Content-Digest", "Docker-Distribution-Api-Version"}

// hand answers one request, whatever becomes of the connections below it. A body that cannot
// be had to its end breaks off, which the engine notices by its length.
func (s *steady) hand(w http.ResponseWriter, r *http.Request) {
	part := r.Header.Get("Range")
	reply, err := s.ask(r, part)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	for _, name := range handed {
		if value := reply.Header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	body := &resumed{s: s, request: r, at: firstByte(part), left: reply.ContentLength, body: reply.Body}
	defer body.Close()
	w.WriteHeader(reply.StatusCode)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := io.Copy(w, body); err != nil {
		panic(http.ErrAbortHandler) // the answer is not whole
	}
}

// firstByte is where a range begins that goes to the end, the only kind that engines ask for.
func firstByte(header string) int64 {
	from, _, _ := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	n, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// ask asks the bundle until it answers, or was away for too long.
func (s *steady) ask(r *http.Request, part string) (*http.Response, error) {
	for told := false; ; told = true {
		reply, err := s.askOnce(r, part)
		if err == nil {
			s.absent.ended()
			return reply, nil
		}
		s.absent.lasts()
		if errors.Is(err, step.ErrSecretGone) || s.absent.isTooLong() {
			return nil, err
		}
		if !told {
			s.waiting()
		}
		select {
		case <-time.After(askEvery):
		case <-s.absent.tooLong():
			return nil, err
		case <-r.Context().Done():
			return nil, err
		}
	}
}

func (s *steady) askOnce(r *http.Request, part string) (*http.Response, error) {
	c, err := s.from()
	if err != nil {
		return nil, err
	}
	q, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+c.Address+r.URL.EscapedPath(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking the bundle: %w", err)
	}
	q.SetBasicAuth(c.User, c.Password)
	q.Header["Accept"] = r.Header["Accept"]
	if part != "" {
		q.Header.Set("Range", part)
	}
	reply, err := s.bundle.Do(q)
	if err != nil {
		return nil, fmt.Errorf("asking the bundle: %w", err)
	}
	if reply.StatusCode == http.StatusUnauthorized { // it answers over another connection, whose password is on its way
		return nil, errors.Join(errors.New("asking the bundle: its password is another one by now"), reply.Body.Close())
	}
	return reply, nil
}

// resumed is an answer's body that is asked for again from where it broke off.
type resumed struct {
	s       *steady
	request *http.Request
	at      int64 // the next byte
	left    int64 // bytes; negative: it was not said
	body    io.ReadCloser
}

// errOtherAnswer says that what was asked for again is something else.
var errOtherAnswer = errors.New("the bundle does not go on where it stopped")

// Read is io.Reader's.
func (b *resumed) Read(p []byte) (int, error) {
	if b.left < 0 { // nobody said how long it is
		return b.body.Read(p)
	}
	for b.left > 0 {
		n, err := b.body.Read(p)
		b.at, b.left = b.at+int64(n), b.left-int64(n)
		if n > 0 {
			return n, nil
		}
		if err != nil {
			if err := b.again(); err != nil {
				return 0, err
			}
		}
	}
	return 0, io.EOF
}

// again asks for the rest.
func (b *resumed) again() error {
	if err := b.request.Context().Err(); err != nil {
		return err
	}
	_ = b.body.Close() // it is broken
	reply, err := b.s.ask(b.request, fmt.Sprintf("bytes=%d-", b.at))
	if err != nil {
		b.body = http.NoBody
		return err
	}
	b.body = reply.Body
	if reply.StatusCode != http.StatusPartialContent || reply.ContentLength != b.left {
		return fmt.Errorf("%w: %s", errOtherAnswer, reply.Status)
	}
	return nil
}

// Close ends the last of the answers.
func (b *resumed) Close() error { return b.body.Close() }
