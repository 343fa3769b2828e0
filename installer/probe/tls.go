package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxHandshake is how much of a TLS conversation is read at most, in bytes: certificates,
// and the largest answer that is asked for.
const maxHandshake = 32 << 20

// secure speaks TLS on the connection and judges the certificate. The handshake itself
// verifies nothing, because a certificate that does not fit still tells what is in the
// way: its issuer, and the time on the other side. Nothing but a HEAD of / is ever sent
// to an end that did not verify.
func (c *conversation) secure(ctx context.Context, conn net.Conn, protocols ...string) (*tls.Conn, error) {
	raw := &heard{Conn: conn, left: maxHandshake}
	session := tls.Client(raw, &tls.Config{
		ServerName: c.name(), NextProtos: protocols, Time: c.env.Now, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // judged below, always
	})
	if err := session.HandshakeContext(ctx); err != nil {
		return nil, c.noTLS(raw, err)
	}
	chain := session.ConnectionState().PeerCertificates
	c.show(chain)
	return session, c.judge(session, chain)
}

// noTLS is the finding for a handshake that failed.
func (c *conversation) noTLS(raw *heard, err error) error {
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &plain):
		return found(WrongContent, "does not speak TLS: %s", raw.described())
	case raw.total == 0 && errors.Is(err, errReset):
		// Firewalls read the name in the first message and cut what they do not allow.
		return found(Filtered, "the connection is reset as soon as TLS names %q: a firewall that looks into connections does that", c.name())
	}
	if how := raw.silent(err); how != "" {
		return found(WrongContent, "%s: TLS does not begin", how)
	}
	return found(WrongContent, "the TLS handshake fails: %v", err)
}

// show puts the certificates into the outcome.
func (c *conversation) show(chain []*x509.Certificate) {
	leaf, end := chain[0], chain[0].NotAfter.UTC()
	c.out.Issuer, c.out.NotAfter = c.clean(leaf.Issuer.String()), &end
	for i, cert := range chain[:min(len(chain), 5)] {
		c.note("certificate %d: %s, issued by %s, valid from %s to %s", i+1, quoted(cert.Subject), quoted(cert.Issuer), day(cert.NotBefore), day(cert.NotAfter))
	}
}

// quoted is a name of a certificate. Quotes in it are escaped already (RFC 2253).
func quoted(name pkix.Name) string { return `"` + name.String() + `"` }

func day(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 MST") }

// judge is the finding for a certificate, nil if it verifies. Who issued it is asked
// first, whatever its dates and names say: to an interceptor they are free to choose.
func (c *conversation) judge(session *tls.Conn, chain []*x509.Certificate) error {
	roots, err := c.roots()
	if err != nil {
		return err
	}
	now := c.verified(chain, roots, c.env.Now())
	misnamed := chain[0].VerifyHostname(c.name())
	if now == nil && misnamed == nil {
		return nil
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(now, &unknown) || errors.As(c.verified(chain, roots, within(chain)), &unknown) {
		return c.intercepted(chain, misnamed)
	}
	if misnamed != nil {
		return found(Certificate, "the certificate is for %s, not for %q", names(chain[0]), c.name())
	}
	if invalid := new(x509.CertificateInvalidError); errors.As(now, invalid) && invalid.Reason == x509.Expired {
		return c.untimely(session, chain, roots)
	}
	return found(Certificate, "the certificate does not verify: %v", now)
}

// roots are the machine's authorities and the site's.
func (c *conversation) roots() (*x509.CertPool, error) {
	pool := c.env.Roots
	if pool == nil {
		system, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("reading the machine's authorities: %w", err)
		}
		pool = system
	}
	pool = pool.Clone()
	if len(c.req.Trust) > 0 && !pool.AppendCertsFromPEM(c.req.Trust) {
		c.note("the site's own authorities could not be read")
	}
	return pool, nil
}

// verified builds a chain to an authority, as of a time; names are judged elsewhere.
func (c *conversation) verified(chain []*x509.Certificate, roots *x509.CertPool, at time.Time) error {
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at})
	return err //nolint:wrapcheck // its type is looked at
}

// within is a time at which all certificates of a chain are valid, if there is one.
func within(chain []*x509.Certificate) time.Time {
	latest := slices.MaxFunc(chain, func(a, b *x509.Certificate) int { return a.NotBefore.Compare(b.NotBefore) })
	if latest.NotBefore.After(chain[0].NotAfter) {
		return chain[0].NotBefore
	}
	return latest.NotBefore
}

// intercepted is the finding for a certificate of an authority that is not trusted.
func (c *conversation) intercepted(chain []*x509.Certificate, misnamed error) error {
	leaf := chain[0]
	issuer := quoted(leaf.Issuer)
	switch {
	case selfSigned(leaf) && misnamed == nil:
		return found(Intercepted, "TLS is not trusted: the certificate for %q is signed by itself (%s), more like the far end's own than an interception", c.name(), issuer)
	case misnamed != nil:
		return found(Intercepted, "TLS is intercepted: the certificate is issued by %s, and is for %s", issuer, names(leaf))
	case len(chain) == 1 && len(leaf.IssuingCertificateURL) > 0:
		// Interceptors do not say where their authority's certificate is to be had.
		return found(Intercepted, "TLS is intercepted: the certificate is issued by %s; or the far end leaves out the certificate of that issuer", issuer)
	}
	return found(Intercepted, "TLS is intercepted: the certificate is issued by %s", issuer)
}

func selfSigned(cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawSubject, cert.RawIssuer) &&
		cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

// names are the hosts of a certificate, quoted.
func names(cert *x509.Certificate) string {
	var all []string
	for _, name := range cert.DNSNames {
		all = append(all, fmt.Sprintf("%q", name))
	}
	for _, ip := range cert.IPAddresses {
		all = append(all, fmt.Sprintf("%q", ip))
	}
	switch most := 5; {
	case len(all) == 0:
		return fmt.Sprintf("no host (%s)", quoted(cert.Subject))
	case len(all) > most:
		return strings.Join(all[:most], ", ") + fmt.Sprintf(" and %d more", len(all)-most)
	}
	return strings.Join(all, ", ")
}

// untimely tells a certificate that has ended from a clock that is wrong: by the time
// that the far end says it is, if at that time the certificate verifies.
func (c *conversation) untimely(session *tls.Conn, chain []*x509.Certificate, roots *x509.CertPool) error {
	c.askTime(session)
	if c.clockIsOff() && c.verified(chain, roots, *c.out.Clock) == nil {
		return found(WrongClock, "%s, so the certificate seems not to be valid", c.clockTrouble())
	}
	if c.out.Clock == nil {
		c.note("the far end does not tell the time, so the date is judged by this machine's clock alone")
	}
	now := c.env.Now()
	for i, cert := range chain {
		whose := "the certificate"
		if i > 0 {
			whose = fmt.Sprintf("the certificate of its issuer %s", quoted(cert.Subject))
		}
		if now.After(cert.NotAfter) {
			return found(Certificate, "%s expired on %s", whose, day(cert.NotAfter))
		}
		if now.Before(cert.NotBefore) {
			return found(Certificate, "%s is not valid before %s", whose, day(cert.NotBefore))
		}
	}
	return found(Certificate, "an authority above %s has expired", quoted(chain[len(chain)-1].Issuer))
}

// askTime sends what may be sent to anybody, for the Date of the answer.
func (c *conversation) askTime(session *tls.Conn) {
	r, err := http.NewRequest(http.MethodHead, "https://"+c.authority(true)+"/", nil)
	if err != nil {
		return
	}
	r.Header.Set("User-Agent", "valtctl")
	r.Close = true
	if a, err := exchange(session, r, false); err == nil {
		c.dated(a.Header.Get("Date"), a.Header.Get("Age"))
	}
}
