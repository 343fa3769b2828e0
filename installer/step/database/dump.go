package database

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// completed is what a dump's client writes last (mariadb-dump, "--dump-date"): without it a dump was cut
// off, whatever the exit code.
const completed = "-- Dump completed"

// sandbox is the line that clients of MariaDB since 10.5.25, 10.6.18, 10.11.8 and 11.4.2 begin a dump with (MDEV-21778):
// from there on the client runs no program of its own. Older clients, and MySQL's, take it for an
// error. It is not kept in backups; who loads one says it to a client that knows it.
var sandbox = regexp.MustCompile(`^/\*M?!999999\\- enable the sandbox mode \*/ ?\n$`)

const sandboxLine = "/*M!999999\\- enable the sandbox mode */ \n"

// sections are the client's runs that make a dump: the data with all that belongs to them, and the
// accounts with their grants, which stand in tables of the server itself.
func (s *server) sections(ctx context.Context) ([]section, error) {
	schemas, err := s.names(ctx, "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN "+own+" ORDER BY 1;\n")
	if err != nil {
		return nil, err
	}
	if len(schemas) == 0 {
		return nil, errors.New("the database holds no schema besides the server's own, so there is nothing to back up")
	}
	grants, err := s.names(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema='mysql' AND table_type='BASE TABLE' AND table_name IN "+grantTables+" ORDER BY 1;\n")
	if err != nil {
		return nil, err
	}
	if len(grants) == 0 {
		return nil, errors.New("the server shows none of its tables of accounts; the administrator's login must be allowed to read them")
	}
	var empty strings.Builder
	empty.WriteString("USE mysql;\n")
	for _, table := range grants {
		fmt.Fprintf(&empty, "DELETE FROM %s;\n", identifier(table))
	}
	common := []string{"--single-transaction", "--quick", "--hex-blob", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"}
	data := append(append([]string{}, common...), "--routines", "--events", "--triggers", "--databases")
	accounts := append(append([]string{}, common...), "--no-create-info", "--skip-triggers", "mysql")
	return []section{
		{name: "the data", argv: s.with(s.dump, append(data, schemas...)...)},
		{name: "the accounts", before: empty.String(), argv: s.with(s.dump, append(accounts, grants...)...), after: "FLUSH PRIVILEGES;\n"},
	}, nil
}

// section is one run of the client, with statements of ours around it.
type section struct {
	name, before, after string
	argv                []string
}

// names are a query's first column.
func (s *server) names(ctx context.Context, sql string) ([]string, error) {
	rows, err := s.query(ctx, sql)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, row := range rows {
		all = append(all, row[0])
	}
	return all, nil
}

// write dumps the whole database. What ends without the client's own last line is an error.
func (s *server) write(ctx context.Context, to io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, longWithin)
	defer cancel()
	all, err := s.sections(ctx)
	if err != nil {
		return fmt.Errorf("dumping the database: %w", err)
	}
	for _, part := range all {
		if _, err := io.WriteString(to, part.before); err != nil {
			return fmt.Errorf("dumping %s: %w", part.name, err)
		}
		checked := &sectionWriter{to: to}
		if err := s.run(ctx, part.argv, nil, checked); err != nil {
			return fmt.Errorf("dumping %s: %w", part.name, err)
		}
		if err := checked.end(); err != nil {
			return fmt.Errorf("dumping %s: %w", part.name, err)
		}
		if _, err := io.WriteString(to, part.after); err != nil {
			return fmt.Errorf("dumping %s: %w", part.name, err)
		}
	}
	return nil
}

// lastBytes are looked through for the client's last line: it is short, and a line of data is not near it.
const lastBytes = 512

// sectionWriter passes a section on without the sandbox line, and keeps its end.
type sectionWriter struct {
	to    io.Writer
	first []byte // until its first line is whole
	begun bool
	last  tail
}

func (w *sectionWriter) Write(p []byte) (int, error) {
	w.last.limit = lastBytes
	if _, err := w.last.Write(p); err != nil {
		return 0, err
	}
	rest := p
	if !w.begun {
		w.first = append(w.first, p...)
		end := bytes.IndexByte(w.first, '\n')
		if end < 0 && len(w.first) < lastBytes {
			return len(p), nil
		}
		w.begun, rest = true, w.first
		if end >= 0 && sandbox.Match(w.first[:end+1]) {
			rest = w.first[end+1:]
		}
	}
	if _, err := w.to.Write(rest); err != nil {
		return 0, err
	}
	return len(p), nil
}

// end says whether the section is whole.
func (w *sectionWriter) end() error {
	lines := bytes.Split(bytes.TrimSpace(w.last.kept), []byte("\n"))
	if !bytes.HasPrefix(lines[len(lines)-1], []byte(completed)) {
		return fmt.Errorf("the client's last line %q is missing, so the dump was cut off, whatever its exit code says", completed)
	}
	return nil
}

// load has the client do a whole dump. Events are switched off before, and must be: a restored one
// would fire.
func (s *server) load(ctx context.Context, from io.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, longWithin)
	defer cancel()
	first, err := s.sandboxed(ctx)
	if err != nil {
		return fmt.Errorf("loading the dump: %w", err)
	}
	in := io.MultiReader(strings.NewReader(first), bufio.NewReaderSize(from, 1<<20))
	argv := s.with(s.client, "--default-character-set=utf8mb4", "--max-allowed-packet=1G")
	if err := s.run(ctx, argv, in, io.Discard); err != nil {
		return fmt.Errorf("loading the dump: %w", err)
	}
	return nil
}

// sandboxed is the sandbox line where the client knows it; empty: it does not.
func (s *server) sandboxed(ctx context.Context) (string, error) {
	if _, err := s.ask(ctx, sandboxLine+"SELECT 1;\n"); err == nil {
		return sandboxLine, nil
	}
	if _, err := s.ask(ctx, "SELECT 1;\n"); err != nil { // it was not the line
		return "", err
	}
	return "", nil
}

// quiet switches events off, for as long as this server runs.
func (s *server) quiet(ctx context.Context) error {
	state, err := s.one(ctx, "SELECT @@event_scheduler;\n")
	if err == nil && state == "ON" {
		if _, err = s.query(ctx, "SET GLOBAL event_scheduler=OFF;\n"); err == nil {
			state, err = s.one(ctx, "SELECT @@event_scheduler;\n")
		}
	}
	if err == nil && state == "ON" {
		err = errors.New("it stays on")
	}
	if err != nil {
		return fmt.Errorf("switching off the database's events: %w", err)
	}
	return nil
}
