package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// conversation is one question on a connection that has come about. The connection ends
// with the question's deadline; whoever speaks on it need not set one. Address, Local and
// the evidence of lookup and dial are in the outcome already; the verdict is not.
type conversation struct {
	env  Env
	req  *Request
	spec Spec
	conn net.Conn // to the proxy if spec.Proxy is set
	out  *Outcome

	header http.Header // of an HTTP question, beside what every one has
}

// converse asks the question on the connection. It gives a verdict in every case.
func converse(ctx context.Context, env Env, r *Request, s Spec, conn net.Conn, o *Outcome) {
	c := &conversation{env: env, req: r, spec: s, conn: conn, out: o}
	switch s.Ask {
	case AskConnect:
		askConnect(ctx, c)
	case AskOurs:
		askOurs(ctx, c)
	case AskSSH:
		askSSH(ctx, c)
	case AskHTTP:
		askHTTP(ctx, c)
	case AskHTTPS:
		askHTTPS(ctx, c)
	case AskEither:
		askEither(ctx, c)
	case AskRTMP:
		askRTMP(ctx, c)
	case AskRTMPS:
		askRTMPS(ctx, c)
	case AskRTSP:
		askRTSP(ctx, c)
	case AskRegistry:
		askRegistry(ctx, c)
	case AskApt:
		askApt(ctx, c)
	case AskMetaRelease:
		askMetaRelease(ctx, c)
	case AskACME:
		askACME(ctx, c)
	case AskNTS:
		askNTS(ctx, c)
	default:
		o.Verdict, o.Cause = Unknown, fmt.Sprintf("this version cannot ask %q over a connection", s.Ask)
	}
}

// askConnect is content that there is a connection.
func askConnect(_ context.Context, c *conversation) { c.out.Verdict = Works }

// maxToken is more than any token; what is longer is something else speaking.
const maxToken = 128

// askOurs reads the line that a listener of ours writes. A connection alone proves
// nothing: middleboxes accept connections for addresses behind them.
func askOurs(_ context.Context, c *conversation) {
	line, err := bufio.NewReader(io.LimitReader(c.conn, maxToken)).ReadString('\n')
	if line == c.spec.Token+"\n" {
		c.out.Verdict = Works
		return
	}
	c.out.Verdict = WrongContent
	c.out.Cause = "something else than valtctl answered: a middlebox accepts connections for it"
	if line != "" {
		c.out.Evidence = append(c.out.Evidence, fmt.Sprintf("it wrote %q instead of the listener's line", line))
		return
	}
	c.out.Evidence = append(c.out.Evidence, fmt.Sprintf("it accepted the connection and wrote nothing: %v", err))
}
