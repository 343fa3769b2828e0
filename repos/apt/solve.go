package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"ipivs.com/valtctl/repos/problem"
)

// Solved is a package that an installation takes, and the source that has it.
type Solved struct {
	Package
	Repo string
}

// Question is what apt-get is asked: which files installing names ("name" or
// "name=version") takes on a machine with a dpkg status, from the sources and nothing else.
// Without a status the machine is bare.
type Question struct {
	Sources []Lists  `json:"sources"`
	Status  []byte   `json:"status,omitempty"`
	Names   []string `json:"names"`
}

// Lists are a repository and the files of it that say what it has, by their path.
type Lists struct {
	Repo  Repo              `json:"repo"`
	Files map[string][]byte `json:"files"`
}

// Asker is how a question is asked: Ask here, or on another machine. The answer has the
// files that would be fetched, each as its source's name and its path, "valt/pool/x.deb".
type Asker func(ctx context.Context, q Question) ([]string, error)

// Solve asks apt-get itself which packages installing names takes on a machine with a dpkg
// status, from the indexes and nothing else. Without a status the answer is everything that
// the packages depend on.
func Solve(ctx context.Context, ask Asker, indexes []*Index, status []byte, names []string) ([]Solved, error) {
	q := Question{Status: status, Names: names}
	for _, x := range indexes {
		q.Sources = append(q.Sources, Lists{x.Repo, x.Files})
	}
	files, err := ask(ctx, q)
	if err != nil {
		return nil, err
	}
	return solved(indexes, files)
}

// Ask asks this machine's apt-get. It runs in a folder of its own and needs no right. Where
// this machine has no apt-get, and where the sources do not have what is needed, the problem
// says so.
func Ask(ctx context.Context, q Question) ([]string, error) {
	program, err := exec.LookPath("apt-get")
	if err != nil {
		return nil, &problem.Error{Kind: problem.Failed, Doing: "finding out which packages are needed", Err: errors.New("this machine has no apt-get"),
			Fix: "make the bundle on a Debian or Ubuntu machine, or name a host of the site that has apt: --on HOST"}
	}
	dir, err := os.MkdirTemp("", "valtctl-apt-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for apt: %w", err)
	}
	defer os.RemoveAll(dir)
	s := &solver{program: program, dir: dir, sources: q.Sources}
	if err := s.check(q.Names); err != nil {
		return nil, err
	}
	base, stop, err := s.serve()
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := s.write(base, q.Status); err != nil {
		return nil, err
	}
	if _, err := s.run(ctx, "update", "--error-on=any"); err != nil {
		return nil, err
	}
	out, err := s.run(ctx, append([]string{"install", "--print-uris", "-q", "-y"}, q.Names...)...)
	if err != nil {
		return nil, err
	}
	return fetched(base, out)
}

// solver is one question asked of apt-get.
type solver struct {
	program string
	dir     string
	sources []Lists
}

// sourceName is what a source may be called: it becomes the name of files and part of addresses.
var sourceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// check refuses what apt would take for something else.
func (s *solver) check(names []string) error {
	seen := map[string]bool{}
	for _, x := range s.sources {
		if !sourceName.MatchString(x.Repo.Name) || seen[x.Repo.Name] {
			return fmt.Errorf("asking apt-get: the source %q needs a name of its own from letters, digits, '.', '_' and '-'", x.Repo.Name)
		}
		seen[x.Repo.Name] = true
	}
	for _, n := range names {
		if err := checkWords([]string{n}); err != nil || strings.HasPrefix(n, "-") {
			return fmt.Errorf("asking apt-get: %q is no package", n)
		}
	}
	return nil
}

// serve gives apt the indexes over loopback, since it treats files on a disk otherwise.
func (s *solver) serve() (base string, stop func(), err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("giving apt the lists of packages: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, file, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/apt/"), "/")
		for _, x := range s.sources {
			if content, ok := x.Files[path.Clean(file)]; ok && x.Repo.Name == name { // apt asks for ./InRelease of the suite ./
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
				return
			}
		}
		http.NotFound(w, r)
	})}
	go func() { _ = server.Serve(l) }() // it ends with Close
	return "http://" + l.Addr().String() + "/apt/", func() { _ = server.Close() }, nil
}

// write lays out the folder.
func (s *solver) write(base string, status []byte) error {
	files := map[string][]byte{"status": status, "apt.conf": []byte(ownConfiguration)}
	for _, x := range s.sources {
		ring, err := Dearmor(x.Repo.Keys)
		if err != nil {
			return fmt.Errorf("reading the keys of %s: %w", x.Repo.URI, err)
		}
		keys := filepath.Join(s.dir, "keys", x.Repo.Name+".gpg")
		source, err := Source{URIs: []string{base + x.Repo.Name + "/"}, Suites: x.Repo.Suites, Components: x.Repo.Components,
			Architectures: x.Repo.Architectures, SignedBy: keys}.Render()
		if err != nil {
			return err
		}
		files["keys/"+x.Repo.Name+".gpg"] = ring
		files["sources/"+x.Repo.Name+".sources"] = append(source, "Targets: Packages\n"...)
	}
	for _, folder := range []string{"keys", "sources", "lists/partial", "cache/archives/partial", "empty"} {
		if err := os.MkdirAll(filepath.Join(s.dir, folder), 0o755); err != nil {
			return fmt.Errorf("making a folder for apt: %w", err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o644); err != nil {
			return fmt.Errorf("writing a file for apt: %w", err)
		}
	}
	return nil
}

// ownConfiguration keeps apt from reading this machine's configuration, whose hooks would
// change this machine ("rm /var/cache/apt/archives/*.deb" in Docker's images) and whose
// choices are not the hosts'. It must be where APT_CONFIG says: that file alone is read
// before the others (apt.conf(5)).
const ownConfiguration = "Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\n"

// options keep apt in the folder, and let it choose as it will on the hosts.
func (s *solver) options() []string {
	at := func(name string) string { return filepath.Join(s.dir, name) }
	var all []string
	for _, o := range []string{
		"Dir::Etc::sourcelist=/dev/null", "Dir::Etc::sourceparts=" + at("sources"), "Dir::Etc::trusted=/dev/null", "Dir::Etc::trustedparts=" + at("empty"),
		"Dir::Etc::preferences=/dev/null", "Dir::Etc::preferencesparts=" + at("empty"), "Dir::State=" + s.dir, "Dir::State::lists=" + at("lists"),
		"Dir::State::status=" + at("status"), "Dir::Etc::netrc=/dev/null", "Dir::Etc::netrcparts=/dev/null", "Dir::State::extended_states=" + at("extended"), "Dir::Cache=" + at("cache"), "Dir::Log=" + at("empty"),
		"Debug::NoLocking=true", "APT::Architecture=amd64", "APT::Architectures=amd64", "APT::Sandbox::User=",
		"Acquire::http::Proxy::127.0.0.1=DIRECT", "Acquire::Languages=none", "Acquire::By-Hash=no", "Acquire::CompressionTypes::Order::=gz",
		"Acquire::Check-Date=false", "Acquire::Check-Valid-Until=false",
		"APT::Get::Always-Include-Phased-Updates=true", "APT::Install-Recommends=false", "APT::Get::AutomaticRemove=false",
	} {
		all = append(all, "-o", o)
	}
	return all
}

func (s *solver) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.program, append(s.options(), args...)...)
	cmd.WaitDelay = time.Second // what apt-get started may outlive it
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + s.dir, "TMPDIR=" + s.dir, "APT_CONFIG=" + filepath.Join(s.dir, "apt.conf"), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("asking apt-get: %w", context.Cause(ctx))
		}
		return "", &problem.Error{Kind: problem.Failed, Doing: "finding out which packages are needed", Object: "apt-get " + strings.Join(args, " "),
			Err: fmt.Errorf("%w\n%s", err, complaints(out.String()+said.String())), Fix: "see what apt says; where it misses a package or a version, compare the mirrors with the release"}
	}
	return out.String(), nil
}

// complaints are apt's lines that say why it cannot: errors, warnings, and the relations
// that do not hold.
func complaints(out string) string {
	var lines []string
	for line := range strings.Lines(out) {
		if complaint.MatchString(line) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

var complaint = regexp.MustCompile(`^[EW]: |(Depends|Conflicts|Breaks): `)

// fetched are the files that apt would fetch, without the address that it has them at.
func fetched(base, out string) ([]string, error) {
	var all []string
	for line := range strings.Lines(out) {
		address, _, _ := strings.Cut(strings.TrimPrefix(line, "'"), "'")
		if !strings.HasPrefix(line, "'") {
			continue
		}
		name, err := url.PathUnescape(strings.TrimPrefix(address, base))
		if err != nil {
			return nil, fmt.Errorf("reading what apt would fetch: %w", err)
		}
		all = append(all, path.Clean(name))
	}
	return all, nil
}

// solved finds the packages of files.
func solved(indexes []*Index, files []string) ([]Solved, error) {
	at := map[string]Solved{}
	for _, x := range indexes {
		for _, p := range x.Packages {
			at[x.Repo.Name+"/"+path.Clean(p.Filename)] = Solved{p, x.Repo.Name}
		}
	}
	var all []Solved
	for _, name := range files {
		p, ok := at[name]
		if !ok {
			return nil, fmt.Errorf("reading what apt would fetch: %q is in no list of packages", name)
		}
		all = append(all, p)
	}
	return all, nil
}
