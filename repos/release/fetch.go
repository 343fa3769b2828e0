package release

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ipivs.com/valtctl/repos/problem"
)

// A download may take fetchGrace plus its largest allowed size at slowestRate, so that
// a server which drips bytes cannot hold a run for ever.
const (
	fetchGrace  = 20 * time.Second
	slowestRate = 128 << 10 // bytes a second
)

// connectWithin is how long a repository may take to take a connection: a firewall that
// drops packets says nothing, and more of them do not change that.
const connectWithin = 10 * time.Second

// NewClient makes the HTTP client for a repository. roots replaces the system's
// certificate authorities where it is not nil; proxy is the URL of an HTTP proxy, empty
// for none. An unreadable proxy URL is a problem of kind Input.
func NewClient(roots *x509.CertPool, proxy string) (*http.Client, error) {
	t := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: connectWithin}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 15 * time.Second,
		ForceAttemptHTTP2:     true,
	}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil || u.Host == "" {
			return nil, &problem.Error{
				Kind: problem.Input, Doing: "reading the proxy", Object: proxy, Err: err,
				Fix: "write network.proxy as http://host:port",
			}
		}
		t.Proxy = http.ProxyURL(u)
	}
	return &http.Client{Transport: t}, nil
}

// fetcher is go-tuf's way to the network. It remembers the root versions it carried,
// because go-tuf keeps only the newest, and the last address, because go-tuf's errors
// do not always say which file they are about.
type fetcher struct {
	get   func(url string, limit int64) ([]byte, error)
	roots map[int64][]byte
	last  string
}

func newFetcher(ctx context.Context, client *http.Client) *fetcher {
	return &fetcher{
		get: func(url string, limit int64) ([]byte, error) {
			return download(ctx, client, url, limit)
		},
		roots: map[int64][]byte{},
	}
}

// DownloadFile implements go-tuf's fetcher.Fetcher. The timeout is not used by go-tuf.
func (f *fetcher) DownloadFile(url string, limit int64, _ time.Duration) ([]byte, error) {
	f.last = url
	data, err := f.get(url, limit)
	if err != nil {
		return nil, err
	}
	if n, ok := rootVersion(path.Base(url)); ok {
		f.roots[n] = data
	}
	return data, nil
}

// rootVersion is N of "N.root.json".
func rootVersion(name string) (int64, bool) {
	digits, ok := strings.CutSuffix(name, ".root.json")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && n > 0
}

// download reads at most limit bytes of url. It asks once: whoever wants to try again
// says so to the person first. A status other than 200 is go-tuf's ErrDownloadHTTP,
// more bytes than limit its ErrDownloadLengthMismatch.
func download(ctx context.Context, client *http.Client, url string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchGrace+time.Duration(limit/slowestRate)*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("asking for %s: %w", url, err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, unreachable(url, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		// Read what little an error page says, so that the connection is used again.
		if _, err := io.CopyN(io.Discard, res.Body, 64<<10); err != nil && !errors.Is(err, io.EOF) {
			return nil, unreachable(url, err)
		}
		return nil, &metadata.ErrDownloadHTTP{StatusCode: res.StatusCode, URL: url}
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, unreachable(url, err)
	}
	if int64(len(data)) > limit {
		return nil, &metadata.ErrDownloadLengthMismatch{
			Msg: fmt.Sprintf("the answer is longer than the %d bytes it may have", limit),
		}
	}
	return data, nil
}

// unreachable words a failure of the network. http.Client's own error repeats the
// address, which the problem names already.
func unreachable(address string, err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	fix := "check that this machine reaches the repository, or set release.url to one that it reaches"
	if e := (*tls.CertificateVerificationError)(nil); errors.As(err, &e) {
		fix = "if the network inspects TLS or the repository is private, add its certificate authority to network.trust"
	}
	return &problem.Error{Kind: problem.Failed, Doing: "reading", Object: address, Err: err, Fix: fix}
}
