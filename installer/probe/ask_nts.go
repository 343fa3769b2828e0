package probe

import "context"

// ntsKeys names the protocol within TLS by which a time server gives keys (RFC 8915, section 4).
const ntsKeys = "ntske/1"

// askNTS wants TLS with a server that gives keys for NTS. What keys, is the time service's business.
func askNTS(ctx context.Context, c *conversation) { c.conclude(ctx, c.keys(ctx)) }

func (c *conversation) keys(ctx context.Context) error {
	session, err := c.secure(ctx, c.conn, ntsKeys)
	if err != nil {
		return err
	}
	if session.ConnectionState().NegotiatedProtocol != ntsKeys {
		return found(WrongContent, "it speaks TLS, and gives no keys for NTS")
	}
	return nil
}
