package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

const (
	// sftpPatience is how long a server may take to begin SFTP. A login shell that
	// prints a few bytes leaves both sides waiting for the rest of a packet.
	sftpPatience = 10 * time.Second
	// sftpInFlight is how many packets of 32 KiB are under way at once.
	sftpInFlight = 64
	sftpPacket   = 32 << 10
)

// send uploads the binary by SFTP into the login's own folder, going on from what an
// earlier try left there. A server where that does not work is no error: "-".
func (r *sshRunner) send(ctx context.Context, a Agent) (string, error) {
	session, err := r.session(ctx)
	if err != nil {
		return "", err
	}
	stdin, err1 := session.StdinPipe()
	stdout, err2 := session.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		session.Close()
		return "", fmt.Errorf("opening SFTP: %w", err)
	}
	defer leave(session, stdout)
	defer context.AfterFunc(ctx, func() { session.Close() })()
	if session.RequestSubsystem("sftp") != nil {
		return "-", nil
	}
	spoiled := time.AfterFunc(sftpPatience, func() { session.Close() })
	client, err := sftp.NewClientPipe(stdout, stdin, sftp.MaxConcurrentRequestsPerFile(sftpInFlight), sftp.UseConcurrentWrites(true))
	spoiled.Stop()
	if err != nil {
		return "-", ctx.Err()
	}
	defer client.Close()
	file, err := upload(client, a, func() { session.Close() })
	if err != nil {
		return "-", ctx.Err()
	}
	return file, nil
}

// leave closes a session and waits, for two seconds at most, until the server has closed
// it too, because the next one may be refused until then.
func leave(session *ssh.Session, stdout io.Reader) {
	session.Close()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, stdout)
	}()
	select {
	case <-closed:
	case <-time.After(2 * time.Second):
	}
}

// upload writes the binary into the login's folder and returns its path. A server that takes
// nothing any more is given up.
func upload(client *sftp.Client, a Agent, giveUp func()) (string, error) {
	home, err := client.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the login's folder: %w", err)
	}
	name := path.Join(home, ".valtctl-"+a.Hash+".part")
	if _, err := quote([]string{name}); err != nil {
		return "", err
	}
	remote, err := client.OpenFile(name, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return "", fmt.Errorf("opening %s on the host: %w", name, err)
	}
	defer remote.Close()
	if err := remote.Chmod(0o600); err != nil {
		return "", fmt.Errorf("protecting %s on the host: %w", name, err)
	}
	info, err := remote.Stat()
	if err != nil {
		return "", fmt.Errorf("looking at %s on the host: %w", name, err)
	}
	if err := fill(remote, a, resumeAt(info.Size(), a.Size), giveUp); err != nil {
		return "", err
	}
	return name, nil
}

// resumeAt is where to go on. Packets under way when an upload was killed may have left
// holes before its end, so what could be one is sent again.
func resumeAt(have, size int64) int64 {
	if have > size {
		return 0
	}
	return max(0, have-sftpInFlight*sftpPacket)
}

func fill(remote *sftp.File, a Agent, offset int64, giveUp func()) error {
	local, err := a.Open()
	if err != nil {
		return fmt.Errorf("opening the agent's binary: %w", err)
	}
	defer local.Close()
	if _, err := local.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("reading the agent's binary: %w", err)
	}
	if _, err := remote.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("writing on the host: %w", err)
	}
	watched, end := moving(a.counted(local, offset), giveUp)
	defer end()
	if _, err := remote.ReadFromWithConcurrency(watched, sftpInFlight); err != nil {
		return fmt.Errorf("writing on the host: %w", err)
	}
	if err := remote.Truncate(a.Size); err != nil {
		return fmt.Errorf("writing on the host: %w", err)
	}
	return nil
}
