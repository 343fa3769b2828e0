package probe

import (
	"crypto/tls"
	"testing"
)

func TestKeysOfATimeServer(t *testing.T) {
	ca, stranger := newAuthority(t, "Practice CA"), newAuthority(t, "Somebody")
	for name, c := range map[string]struct {
		ca        *authority
		protocols []string
		want      Verdict
		words     string
	}{
		"a time server":      {ca, []string{"ntske/1"}, Works, ""},
		"a web server":       {ca, nil, WrongContent, "gives no keys for NTS"},
		"one that looks in":  {stranger, []string{"ntske/1"}, Intercepted, ""},
		"another's protocol": {ca, []string{"http/1.1"}, WrongContent, "the TLS handshake fails"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c.ca.current(t, "time.example")}, NextProtos: c.protocols})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_ = conn.(*tls.Conn).Handshake()
				}
			}()
			o := machine(ca).ask(t, l.Addr().String(), Spec{Ask: AskNTS, Name: "time.example"})
			want(t, o, c.want, c.words)
		})
	}
}
