package remote

import (
	"fmt"
	"io"
	"net"

	"golang.org/x/crypto/ssh"
	sshagent "golang.org/x/crypto/ssh/agent"
)

// AgentKeys are the keys of the person's ssh-agent, to sign with. They are of use until the
// connection to it is closed. Without an agent there are none.
func AgentKeys(env Environment) ([]ssh.Signer, io.Closer, error) {
	if env.AgentSocket == "" {
		return nil, io.NopCloser(nil), nil
	}
	conn, err := net.Dial("unix", env.AgentSocket)
	if err != nil {
		return nil, nil, fmt.Errorf("reaching the ssh-agent: %w", err)
	}
	signers, err := sshagent.NewClient(conn).Signers()
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("asking the ssh-agent for its keys: %w", err)
	}
	return signers, conn, nil
}
