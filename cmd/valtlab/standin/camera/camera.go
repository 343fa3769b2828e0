package camera

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
)

// options say what a camera is called and where it listens.
type options struct {
	name, rtsp, http string
	login            bool // wants one before it says anything
	now              func() time.Time
}

// camera serves one stream under every path, as cameras differ in what they call it.
type camera struct {
	options
	rtspServer *gortsplib.Server
	stream     *gortsplib.ServerStream
	page       net.Listener
}

// start opens both ports.
func start(o options) (*camera, error) {
	c := &camera{options: o}
	c.rtspServer = &gortsplib.Server{Handler: c, RTSPAddress: o.rtsp}
	if err := c.rtspServer.Start(); err != nil {
		return nil, fmt.Errorf("starting RTSP: %w", err)
	}
	c.stream = &gortsplib.ServerStream{Server: c.rtspServer, Desc: &description.Session{Title: o.name, Medias: []*description.Media{{
		Type: description.MediaTypeVideo, Formats: []format.Format{&format.H264{PayloadTyp: 96, PacketizationMode: 1}}}}}}
	if err := c.stream.Initialize(); err != nil {
		c.rtspServer.Close()
		return nil, fmt.Errorf("starting the stream: %w", err)
	}
	page, err := net.Listen("tcp", o.http)
	if err != nil {
		c.rtspServer.Close()
		return nil, fmt.Errorf("starting the page: %w", err)
	}
	c.page = page
	return c, nil
}

// serve works until ctx ends.
func (c *camera) serve(ctx context.Context) error {
	server := &http.Server{Handler: http.HandlerFunc(c.show), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(c.page) }()
	go func() { failed <- c.rtspServer.Wait() }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("serving: %w", err)
	}
	c.stream.Close()
	c.rtspServer.Close()
	return errors.Join(err, server.Close())
}

// show is the page. net/http gives it a Date, by which a wrong clock is noticed.
func (c *camera) show(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Server", "valtlab-camera")
	if c.login {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q", c.name))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<html><head><title>%[1]s</title></head><body>%[1]s: a camera of the practice site.</body></html>\n", html.EscapeString(c.name))
}

// OnResponse adds the headers that cameras send with everything. A camera that wants a
// login asks for it whatever the question, OPTIONS included, as many do (RFC 2326,
// section 11.3.1).
func (c *camera) OnResponse(_ *gortsplib.ServerConn, r *base.Response) {
	if c.login {
		r.StatusCode, r.StatusMessage, r.Body = base.StatusUnauthorized, "Unauthorized", nil
		r.Header = base.Header{"CSeq": r.Header["CSeq"], "WWW-Authenticate": base.HeaderValue{fmt.Sprintf("Basic realm=%q", c.name)}}
	}
	r.Header["Server"] = base.HeaderValue{"valtlab-camera/" + c.name}
	r.Header["Date"] = base.HeaderValue{c.now().UTC().Format(http.TimeFormat)}
}

// OnDescribe shows the stream.
func (c *camera) OnDescribe(*gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

// OnSetup hands the stream over.
func (c *camera) OnSetup(*gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

// OnPlay begins to show nothing.
func (c *camera) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}
