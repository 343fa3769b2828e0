package database

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

var noted = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

func host(t *testing.T) *step.Machine {
	t.Helper()
	return &step.Machine{Root: t.TempDir(), Now: func() time.Time { return noted }, Keep: filepath.Join(t.TempDir(), "keep")}
}

// place puts a file on the host.
func put(t *testing.T, h *step.Machine, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(h.Path(path)), 0o755), os.WriteFile(h.Path(path), []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

const whole = "-- MariaDB dump\nINSERT INTO a VALUES (1);\n" + completed + " on 2026-03-01\n"

// A dump that was cut off is one, whatever the exit code was; the sandbox line is not kept, in either of its forms.
func TestADumpIsWholeByItsLastLine(t *testing.T) {
	for name, c := range map[string]struct {
		text, kept string
		whole      bool
	}{
		"whole":              {whole, whole, true},
		"sandbox, 10.11.8":   {"/*!999999\\- enable the sandbox mode */ \n" + whole, whole, true},
		"sandbox, newer":     {sandboxLine + whole, whole, true},
		"cut off":            {"-- MariaDB dump\nINSERT INTO a VALUES (1);\n", "-- MariaDB dump\nINSERT INTO a VALUES (1);\n", false},
		"cut in its end":     {strings.TrimSuffix(whole, completed+" on 2026-03-01\n") + "-- Dump comp", "", false},
		"said in its middle": {completed + "\nINSERT INTO a VALUES ('" + strings.Repeat("x", 2*lastBytes) + "');\n", "", false},
		"nothing":            {"", "", false},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			var out bytes.Buffer
			w := &sectionWriter{to: &out}
			if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{strings.NewReader(c.text)}, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			if err := w.end(); (err == nil) != c.whole {
				t.Errorf("%s in pieces of %d: %v", name, size, err)
			}
			if c.kept != "" && out.String() != c.kept {
				t.Errorf("%s in pieces of %d: kept %q", name, size, out.String())
			}
		}
	}
}

func TestWhatARestoredDatabaseLacksIsTold(t *testing.T) {
	want := Inventory{{kindTable, "a.b", "s", "2", "77"}, {kindTable, "a.c", "s", "1", "5"}, {kindAccounts, "mysql.db", "s", "3", "9"}, {Kind: "view", Name: "a.v", Shape: "s"}}
	change := func(i int, to Item) Inventory {
		got := slices.Clone(want)
		got[i] = to
		return got
	}
	for name, c := range map[string]struct {
		got   Inventory
		moved []string
		want  string
	}{
		"the same":               {want, nil, ""},
		"a row less":             {change(0, Item{kindTable, "a.b", "s", "1", "77"}), nil, "table a.b has 1 rows instead of 2"},
		"another content":        {change(0, Item{kindTable, "a.b", "s", "2", "78"}), nil, "table a.b has another content"},
		"another form":           {change(3, Item{Kind: "view", Name: "a.v", Shape: "t"}), nil, "view a.v is defined differently"},
		"another grant":          {change(2, Item{kindAccounts, "mysql.db", "s", "3", "8"}), nil, "accounts mysql.db has another content"},
		"a view less":            {want[:3], nil, "view a.v is missing"},
		"a table more":           {append(slices.Clone(want), Item{Kind: kindTable, Name: "a.d"}), nil, "table a.d was not in it"},
		"moved":                  {change(0, Item{kindTable, "a.b", "s", "5", "78"}), []string{"a.b"}, ""},
		"moved, in another form": {change(0, Item{kindTable, "a.b", "t", "5", "78"}), []string{"a.b"}, "table a.b is defined differently"},
	} {
		got := strings.Join(compare(want, c.got, c.moved), "; ")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	moved, err := movedBetween(want, change(0, Item{kindTable, "a.b", "s", "5", "78"}))
	if err != nil || !slices.Equal(moved, []string{"a.b"}) {
		t.Errorf("%v, %v", moved, err)
	}
	for name, after := range map[string]Inventory{"changed": change(0, Item{kindTable, "a.b", "t", "2", "77"}), "removed": want[1:], "made": append(slices.Clone(want), Item{Kind: kindTable, Name: "a.d"})} {
		if _, err := movedBetween(want, after); err == nil {
			t.Errorf("a table was %s while it was dumped, and nobody is told", name)
		}
	}
}

// packUp writes a backup's file and its record.
func packUp(t *testing.T, h *step.Machine, s Store, id, text string) *Record {
	t.Helper()
	dump, err := s.pack(h, id, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
	if err != nil {
		t.Fatal(err)
	}
	r := &Record{Schema: Schema, ID: id, Made: noted, Dump: dump, Proofs: []Proof{{Time: noted}}}
	if err := s.save(h, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// unpacked reads a backup as a restore does.
func unpacked(h *step.Machine, s Store, r *Record) (string, error) {
	mine, err := identities(h)
	if err != nil {
		return "", err
	}
	var text []byte
	err = s.unpack(h, r, mine, func(from io.Reader) (err error) { text, err = io.ReadAll(from); return err })
	return string(text), err
}

func TestABackupIsReadOnlyWhole(t *testing.T) {
	h, s := host(t), Store{Dir: "/srv/backup"}
	id := NewID(noted, "before-6-5-0")
	r := packUp(t, h, s, id, whole)
	if got, err := unpacked(h, s, r); got != whole || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if all, err := List(h, s.Dir); err != nil || len(all) != 1 || all[0].ID != id || all[0].Dump.Plain != int64(len(whole)) {
		t.Errorf("%+v, %v", all, err)
	}
	file := filepath.Join(s.folder(h, id), r.Dump.File)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for at := range good {
		bad := slices.Clone(good)
		bad[at] ^= 1
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := unpacked(h, s, r); problem.KindOf(err) != problem.Trust {
			t.Fatalf("one bit wrong in byte %d: %v", at, err)
		}
	}
	if err := os.WriteFile(file, good[:len(good)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := unpacked(h, s, r); problem.KindOf(err) != problem.Trust {
		t.Errorf("a byte short: %v", err)
	}
}

// What is encrypted holds no word of the dump, is read by the host and by the recipient, and by nobody else.
func TestAnEncryptedBackupIsForItsRecipientAndItsHost(t *testing.T) {
	theirs, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	h, s := host(t), Store{Dir: "/srv/backup", Recipient: theirs.Recipient().String()}
	r := packUp(t, h, s, NewID(noted, ""), whole)
	content, err := os.ReadFile(filepath.Join(s.folder(h, r.ID), r.Dump.File))
	if err != nil || bytes.Contains(content, []byte("INSERT")) || !bytes.HasPrefix(content, []byte("age-encryption.org/v1")) {
		t.Errorf("%q, %v", content, err)
	}
	if got, err := unpacked(h, s, r); got != whole || err != nil {
		t.Errorf("the host itself: %q, %v", got, err)
	}
	again := packUp(t, h, s, NewID(noted, "again"), whole) // with the key that is there
	if got, err := unpacked(h, s, again); got != whole || err != nil {
		t.Errorf("the host itself, again: %q, %v", got, err)
	}
	for name, key := range map[string]*age.X25519Identity{"the recipient": theirs, "a stranger": stranger} {
		err := s.unpack(h, r, []age.Identity{key}, readable)
		if right := key == theirs; (err == nil) != right || !right && problem.KindOf(err) != problem.Trust {
			t.Errorf("%s: %v", name, err)
		}
	}
	info, err := os.Stat(h.Path(HostKey))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestADumpThatFailsLeavesNoFile(t *testing.T) {
	h, s := host(t), Store{Dir: "/srv/backup"}
	id := NewID(noted, "")
	if _, err := s.pack(h, id, func(w io.Writer) error { _, _ = io.WriteString(w, whole); return errors.New("cut off") }); err == nil {
		t.Error("it is packed")
	}
	left, err := os.ReadDir(s.folder(h, id))
	if err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
	if all, err := List(h, s.Dir); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestTheLastProvedBackupStays(t *testing.T) {
	list := func(text string) (all []Record) {
		for id := range strings.SplitSeq(text, " ") {
			r := Record{ID: strings.TrimSuffix(id, "*")}
			if strings.HasSuffix(id, "*") {
				r.Proofs = []Proof{{Time: noted}}
			}
			all = append(all, r)
		}
		return all
	}
	for _, c := range []struct {
		all  string
		keep int
		not  string
		gone string
	}{
		{"a* b* c*", 5, "", ""}, {"a* b* c*", 2, "", "a"}, {"a* b c", 1, "", "b c"}, {"a* b* c", 1, "", "a c"}, {"a* b* c", 1, "a", "c"}, {"a b", 1, "b", "a"},
	} {
		if got := strings.Join(surplus(list(c.all), c.keep, c.not), " "); got != c.gone {
			t.Errorf("of %s with %d to keep: %q instead of %q", c.all, c.keep, got, c.gone)
		}
	}
}

// swapState is which of the three folders there are, by what they hold.
func swapState(t *testing.T, h *step.Machine, p place) string {
	t.Helper()
	var all []string
	for _, folder := range []string{string(p), p.proof(), p.aside()} {
		text, err := os.ReadFile(filepath.Join(h.Path(folder), "is"))
		if errors.Is(err, os.ErrNotExist) {
			text = []byte("-")
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return strings.Join(all, " ")
}

// A swap and its taking back come to the same from wherever they were cut off.
func TestASwapGoesOnWhereItWasCutOff(t *testing.T) {
	const data = place("/var/lib/valt/db")
	for name, c := range map[string]struct {
		data, proof, aside string // before
		swapped, back      string
	}{
		"not begun":                      {"old", "proved", "-", "proved - old", "old proved -"},
		"not begun, with a former day's": {"old", "proved", "older", "proved - old", "old proved older"},
		"between its renames":            {"-", "proved", "old", "proved - old", "old proved -"},
		"done":                           {"proved", "-", "old", "proved - old", "old - -"},
		"taken back":                     {"old", "-", "-", "old - -", "old - -"},
	} {
		for what, do := range map[string]func(*step.Machine) error{c.swapped: data.swap, c.back: data.swapBack} {
			h := host(t)
			for folder, is := range map[string]string{string(data): c.data, data.proof(): c.proof, data.aside(): c.aside} {
				if is != "-" {
					put(t, h, folder+"/is", is)
				}
			}
			for range 2 { // again, after a cut at its end
				if err := do(h); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if got := swapState(t, h, data); got != what {
				t.Errorf("%s: %q instead of %q", name, got, what)
			}
		}
	}
}

// A database on a disk of its own could not be put back by a rename: that is known before it is stopped.
func TestDataThatCannotBeMovedAreLeftAlone(t *testing.T) {
	h := host(t)
	put(t, h, "/var/lib/valt/db/ibdata1", "x")
	if err := place("/var/lib/valt/db").movable(h); err != nil {
		t.Errorf("a folder: %v", err)
	}
	h.Root = "/"
	err := place("/proc").movable(h)
	if problem.KindOf(err) != problem.Check || !strings.Contains(err.Error(), "something is mounted there") {
		t.Errorf("a mount: %v", err)
	}
}

func TestRoomIsJudgedByTheRealSize(t *testing.T) {
	const mb = 1 << 20
	for name, c := range map[string]struct {
		data, backups disk
		enough        bool
	}{
		"one disk":                    {disk{1, 2256 * mb}, disk{1, 2256 * mb}, true},
		"one disk, a byte short":      {disk{1, 2256*mb - 1}, disk{1, 2256*mb - 1}, false},
		"two disks":                   {disk{1, 1256 * mb}, disk{2, 1256 * mb}, true},
		"no room for the backup":      {disk{1, 1256 * mb}, disk{2, 1255 * mb}, false},
		"no room for the proof of it": {disk{1, 1255 * mb}, disk{2, 1256 * mb}, false},
	} {
		err := enoughSpace(c.data, c.backups, 1000*mb)
		if (err == nil) != c.enough || err != nil && problem.KindOf(err) != problem.Check {
			t.Errorf("%s: %v", name, err)
		}
	}
	h := host(t)
	put(t, h, "/var/lib/valt/db/ibdata1", strings.Repeat("x", 5000))
	put(t, h, "/var/lib/valt/db/valt/a.ibd", strings.Repeat("x", 70))
	if size, err := sizeOf(h.Path("/var/lib/valt/db")); size != 5070 || err != nil {
		t.Errorf("%d, %v", size, err)
	}
}

func TestALoginIsQuotedForTheClient(t *testing.T) {
	got := optionsFile("root", `a"b\c#d`)
	if want := "[client]\nuser=\"root\"\npassword=\"a\\\"b\\\\c#d\"\n"; got != want {
		t.Errorf("%q", got)
	}
	if got := identifier("odd`name\\\\x"); got != "`odd``name\\x`" {
		t.Errorf("%q", got)
	}
}

// A migration is for a host that comes from another release; one that was cut off is not run again.
func TestAMigrationRunsOnceAndOnlyWhereItIsDue(t *testing.T) {
	for installed, due := range map[string]bool{"": false, "6.5.0": false, "6.4.2": true} {
		h := host(t)
		if installed != "" {
			put(t, h, "/var/lib/valtctl/host.json", fmt.Sprintf(`{"release":%q}`, installed))
		}
		for name, made := range map[string]step.Step{"still": still{StillParams{To: "6.5.0"}}, "migrate": &migrate{MigrateParams: MigrateParams{To: "6.5.0"}}} {
			if found, err := made.Inspect(t.Context(), h); err != nil || found.Change != due {
				t.Errorf("%s with %q installed: %+v, %v", name, installed, found, err)
			}
		}
	}
	h := host(t)
	put(t, h, "/var/lib/valtctl/host.json", `{"release":"6.4.2"}`)
	if err := mark(h, startedFile, "6.5.0"); err != nil {
		t.Fatal(err)
	}
	err := (&migrate{MigrateParams: MigrateParams{To: "6.5.0"}}).Apply(t.Context(), h)
	if err == nil || !strings.Contains(err.Error(), "cut off in its middle") {
		t.Errorf("%v", err)
	}
	if err := mark(h, doneFile, "6.5.0"); err != nil {
		t.Fatal(err)
	}
	if found, err := (&migrate{MigrateParams: MigrateParams{To: "6.5.0"}}).Inspect(t.Context(), h); err != nil || found.Change {
		t.Errorf("done: %+v, %v", found, err)
	}
	h.Keep = ""
	for name, made := range map[string]step.Step{"still": still{StillParams{To: "6.5.0"}}, "migrate": &migrate{}, "restore": restore{}} {
		if err := made.Apply(t.Context(), h); err == nil || !strings.Contains(err.Error(), "no way back") {
			t.Errorf("%s without a way back: %v", name, err)
		}
	}
}

func TestABackupThatIsNotThisSitesIsNotRestored(t *testing.T) {
	h := host(t)
	put(t, h, "/var/lib/valtctl/host.json", `{"release":"6.4.2"}`)
	r := restore{RestoreParams{Params: Params{Site: "st-marys"}}}
	for want, b := range map[string]Record{
		"":                    {Site: "st-marys", Release: "6.4.2"},
		"newer than 6.4.2":    {Site: "st-marys", Release: "6.5.0"},
		"would not know it":   {Site: "st-marys", Release: "6.4.1"},
		"of the site another": {Site: "another", Release: "6.4.2"},
	} {
		err := r.fits(h, &b)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || problem.KindOf(err) != problem.Input) {
			t.Errorf("%q: %v", want, err)
		}
	}
	if _, err := (Store{Dir: "/srv/backup"}).read(h, "../../etc"); problem.KindOf(err) != problem.Input {
		t.Errorf("%v", err)
	}
}
