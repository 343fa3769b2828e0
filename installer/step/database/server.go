package database

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/sleep"
)

// Login is how the database's administrator logs in, over the socket inside its container.
type Login struct {
	User         string `json:"user"`
	PasswordFile string `json:"password_file"` // on the host, root's
}

// server is a database that runs in a container.
type server struct {
	engine    *client.Client
	container string // its name
	options   string // the client's option file in it, in memory; empty: not logged in
	client    string // "mariadb", "mysql"
	dump      string // "mariadb-dump", "mysqldump"
}

// Times and sizes of programs inside a container.
const (
	askWithin  = 10 * time.Minute // a question; a table's checksum reads the table
	longWithin = 4 * time.Hour    // a dump or a load
	maxSaid    = 4 << 10          // bytes kept of what a program says on standard error
	maxAnswer  = 64 << 20         // bytes of an answer
)

// optionsFile puts a login into an option file of the client (mariadb.com, "Configuring MariaDB with
// Option Files": within quotes a backslash escapes).
func optionsFile(user, password string) string {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	return fmt.Sprintf("[client]\nuser=\"%s\"\npassword=\"%s\"\n", quote.Replace(user), quote.Replace(password))
}

// enter logs in to the database of a container. The password goes in by standard input, into a file
// in the container's memory that only its root reads: it is in no argument, no environment and on
// no disk. leave takes it away again.
func enter(ctx context.Context, h *step.Machine, name string, l Login) (*server, error) {
	engine, err := h.Docker()
	if err != nil {
		return nil, fmt.Errorf("entering the database: %w", err)
	}
	password, err := step.ReadFile(h, l.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("reading the database's password: %w", err)
	}
	if password == nil {
		return nil, fmt.Errorf("reading the database's password: %s is not there", l.PasswordFile)
	}
	s := &server{engine: engine, container: name, client: "mariadb", dump: "mariadb-dump"}
	if _, err := s.output(ctx, "mariadb", "--version"); err != nil {
		s.client, s.dump = "mysql", "mysqldump"
	}
	at := "/dev/shm/valtctl-" + strings.ToLower(rand.Text())
	text := optionsFile(l.User, strings.TrimRight(string(password), "\n"))
	if err := s.run(ctx, []string{"install", "-m", "0600", "/dev/stdin", at}, strings.NewReader(text), nil); err != nil {
		return nil, fmt.Errorf("logging in to the database: %w", err)
	}
	s.options = at
	return s, nil
}

// leave takes the login away.
func (s *server) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if _, err := s.output(ctx, "rm", "-f", s.options); err != nil {
		return fmt.Errorf("taking away the database's login: %w", err)
	}
	return nil
}

// with is a program's argv with the login.
func (s *server) with(program string, args ...string) []string {
	return append([]string{program, "--defaults-extra-file=" + s.options}, args...)
}

// query asks the database and returns its lines, cut at tabs.
func (s *server) query(ctx context.Context, sql string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	text, err := s.ask(ctx, sql)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(text) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows, nil
}

// ask gives the client statements by standard input: they may be many, and name whatever is there.
func (s *server) ask(ctx context.Context, sql string) (string, error) {
	var out bytes.Buffer
	err := s.run(ctx, s.with(s.client, "--skip-column-names", "--batch"), strings.NewReader(sql), &limited{to: &out, left: maxAnswer})
	if err != nil {
		return "", fmt.Errorf("asking the database: %w", err)
	}
	return out.String(), nil
}

// one is a query's one value.
func (s *server) one(ctx context.Context, sql string) (string, error) {
	rows, err := s.query(ctx, sql)
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return "", fmt.Errorf("asking the database: %d rows instead of one value", len(rows))
	}
	return rows[0][0], nil
}

// output runs a program that takes no login.
func (s *server) output(ctx context.Context, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var out bytes.Buffer
	err := s.run(ctx, argv, nil, &limited{to: &out, left: maxAnswer})
	return strings.TrimSpace(out.String()), err
}

// run runs a program in the container, as its root, to its end. Another exit code than 0 is an
// error with what the program said last.
func (s *server) run(ctx context.Context, argv []string, in io.Reader, out io.Writer) error {
	doing := fmt.Sprintf("running %s in container %s", argv[0], s.container)
	made, err := s.engine.ContainerExecCreate(ctx, s.container, container.ExecOptions{Cmd: argv, User: "0:0",
		AttachStdin: in != nil, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	stream, err := s.engine.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer stream.Close()
	defer context.AfterFunc(ctx, stream.Close)()
	fed := make(chan error, 1)
	go func() {
		var err error
		if in != nil {
			_, err = io.Copy(stream.Conn, in)
		}
		fed <- errors.Join(err, stream.CloseWrite())
	}()
	said := &tail{limit: maxSaid}
	if out == nil {
		out = io.Discard
	}
	if err := docker.CopyStreams(out, said, stream.Reader); err != nil {
		return fmt.Errorf("%s: %w", doing, errors.Join(context.Cause(ctx), err))
	}
	code, err := s.ended(ctx, made.ID)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", doing, err)
	case code != 0:
		return fmt.Errorf("%s: exit code %d: %s", doing, code, said)
	}
	if err := <-fed; in != nil && err != nil {
		return fmt.Errorf("%s: handing it its input: %w", doing, err)
	}
	return nil
}

// ended is the exit code of a program whose output has ended.
func (s *server) ended(ctx context.Context, id string) (int, error) {
	for {
		now, err := s.engine.ContainerExecInspect(ctx, id)
		if err != nil {
			return -1, fmt.Errorf("asking how it ended: %w", err)
		}
		if !now.Running {
			return now.ExitCode, nil
		}
		if err := sleep.For(ctx, 100*time.Millisecond); err != nil {
			return -1, err
		}
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	limit int
	kept  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	return strings.TrimSpace(strings.ToValidUTF8(string(t.kept), "?"))
}

// limited refuses more than so many bytes.
type limited struct {
	to   io.Writer
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	if int64(len(p)) > l.left {
		return 0, errors.New("its answer is too long")
	}
	l.left -= int64(len(p))
	return l.to.Write(p)
}
