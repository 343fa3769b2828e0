package probe

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// maxBanner is how much a server may say before its version line, in bytes.
const maxBanner = 16 << 10

// askSSH wants a version line. Others may precede it (RFC 4253, section 4.2).
func askSSH(ctx context.Context, c *conversation) { c.conclude(ctx, c.versionLine()) }

func (c *conversation) versionLine() error {
	conn, err := c.through()
	if err != nil {
		return err
	}
	h := &heard{Conn: conn, left: maxBanner}
	// A server that waits for the client's line gets it; its log then says who was there.
	_, unsent := fmt.Fprint(h, "SSH-2.0-valtctl\r\n")
	for lines := bufio.NewReader(h); ; {
		line, err := lines.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "SSH-2.0-") || strings.HasPrefix(line, "SSH-1.99-") {
			c.note("its version line: %s", line)
			return nil
		}
		if strings.HasPrefix(line, "SSH-") {
			return found(WrongContent, "speaks a version of SSH that nobody uses any more: %s", line)
		}
		if strings.HasPrefix(line, "Exceeded MaxStartups") {
			return found(WrongContent, "the SSH server turns connections away: too many at once")
		}
		if strings.HasPrefix(line, "Not allowed at this time") { // OpenSSH 9.8 and later, in place of a version
			return found(WrongContent, "the SSH server takes no connections from this address for a while (PerSourcePenalties of sshd_config)")
		}
		if err == nil {
			continue
		}
		if unsent != nil && h.total == 0 {
			err = unsent
		}
		return h.unheard(err, "SSH")
	}
}
