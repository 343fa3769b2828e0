package cases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/repos/sleep"
)

// What the scenarios about the database share: bookings that a client writes, and what is in the database.

// appHost keeps the application and its database.
const appHost = "app1"

// clientFile is the database client's login inside its container's memory, for these scenarios alone.
const clientFile = "/dev/shm/practice"

// book writes a booking as a client does, and says whether it was acknowledged.
func (e *Env) book(ctx context.Context, room, token string) (bool, error) {
	text, err := e.Lab.Output(ctx, "client", "curl", "--insecure", "--silent", "--max-time", "5", "--data", "room="+room+"&token="+token, "https://valt.lab.example/bookings")
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return err == nil && strings.Contains(text, `"id":`), nil
}

// mustBook writes some bookings.
func (e *Env) mustBook(ctx context.Context, tokens ...string) error {
	for _, token := range tokens {
		if ok, err := e.book(ctx, "lobby", token); !ok || err != nil {
			return errors.Join(err, fmt.Errorf("the application does not take the booking %s", token))
		}
	}
	return nil
}

// sql asks the database itself.
func (e *Env) sql(ctx context.Context, statements string) (string, error) {
	password, err := e.Lab.Output(ctx, appHost, "cat", "/etc/valt/secrets/db-root")
	if err != nil {
		return "", err
	}
	login := containers.Exec{Argv: []string{"docker", "exec", "-i", "valt-db", "install", "-m", "600", "/dev/stdin", clientFile},
		Stdin: strings.NewReader("[client]\nuser=root\npassword=" + strings.TrimSpace(password) + "\n")}
	if code, err := e.Lab.Exec(ctx, appHost, login); code != 0 || err != nil {
		return "", errors.Join(err, fmt.Errorf("logging in to the database: exit code %d", code))
	}
	var out, said bytes.Buffer
	ask := containers.Exec{Argv: []string{"docker", "exec", "-i", "valt-db", "mariadb", "--defaults-extra-file=" + clientFile, "--skip-column-names", "--batch", "valt"},
		Stdin: strings.NewReader(statements), Stdout: &out, Stderr: &said}
	code, err := e.Lab.Exec(ctx, appHost, ask)
	if code != 0 || err != nil {
		return "", errors.Join(err, fmt.Errorf("asking the database: exit code %d: %s", code, said.String()))
	}
	return out.String(), nil
}

// contents is all that the application's database holds, but for the health check's own table: tables with rows and
// checksums, and what else is defined.
func (e *Env) contents(ctx context.Context) (string, error) {
	return e.sql(ctx, `SHOW FULL TABLES; SHOW CREATE TABLE bookings; CHECKSUM TABLE bookings, meta EXTENDED; SELECT COUNT(*) FROM bookings;
SELECT routine_name, routine_definition FROM information_schema.routines WHERE routine_schema='valt' ORDER BY 1;
SELECT trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema='valt' ORDER BY 1;
SELECT event_name, event_definition, status FROM information_schema.events WHERE event_schema='valt' ORDER BY 1;
SHOW GRANTS FOR valt;
`)
}

// freshApp makes the application's host bare and installs the release before the migration.
func (e *Env) freshApp(ctx context.Context) error {
	now, err := e.installed(ctx, appHost)
	if err != nil {
		return err
	}
	if now != releases.Migrating { // else the others have the release before still
		if err := e.at(ctx, releases.Stable); err != nil {
			return err
		}
	}
	if err := e.Lab.Reset(ctx, appHost); err != nil {
		return err
	}
	_, err = e.Expect(ctx, 0, "install", "--yes", "--host", appHost)
	return err
}

// nothingLeft wants no throwaway container and no folder of a proof on the application's host.
func (e *Env) nothingLeft(ctx context.Context) error {
	names, err := e.Lab.Output(ctx, appHost, "docker", "ps", "--all", "--format", "{{.Names}}")
	if err != nil {
		return err
	}
	folders, err := e.Lab.Output(ctx, appHost, "ls", "/var/lib/valt")
	if err != nil {
		return err
	}
	if strings.Contains(names, "throwaway") || strings.TrimSpace(folders) != "db" {
		return fmt.Errorf("something is left: containers %q, folders %q", names, folders)
	}
	return nil
}

// backups are the records that valtctl lists.
func (e *Env) backups(ctx context.Context, args ...string) ([]backupSeen, error) {
	said, err := e.Expect(ctx, 0, append([]string{"backup"}, append(args, "-o", "json")...)...)
	if err != nil {
		return nil, err
	}
	var reply struct {
		Result struct{ Backups []backupSeen }
	}
	if err := json.Unmarshal([]byte(said.Stdout), &reply); err != nil {
		return nil, fmt.Errorf("reading the backups: %w", err)
	}
	return reply.Result.Backups, nil
}

// backupSeen is a backup as the command line's JSON has it.
type backupSeen struct {
	ID     string
	Moved  []string
	Phases []struct {
		Name string
		Took time.Duration `json:"took_ns"`
	}
	Proofs []struct {
		Compared map[string]int
		Phases   []struct {
			Name string
			Took time.Duration `json:"took_ns"`
		}
	}
}

// measure tells what each phase took.
func (e *Env) measurePhases(b backupSeen) {
	phases := b.Phases
	for _, p := range b.Proofs {
		phases = append(phases, p.Phases...)
	}
	for _, p := range phases {
		e.Measure(p.Name, "%s", p.Took)
	}
}

// migration brings the application over a change of its database while a client writes: what it was told that it is
// written is there afterwards.
func migration(ctx context.Context, e *Env) (err error) {
	if err := e.freshApp(ctx); err != nil {
		return err
	}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	written := make(chan []string, 1)
	go func() { written <- e.keepBooking(writing) }()
	err = e.Timed("update to "+releases.Migrating, func() error {
		_, err := e.Expect(ctx, 0, e.quick("update", "--to", releases.Migrating, "--host", appHost)...)
		return err
	})
	stop()
	acknowledged := <-written
	if err != nil {
		return err
	}
	if err := e.allBooked(ctx, acknowledged); err != nil {
		return err
	}
	form, err := e.sql(ctx, "SELECT version FROM meta; SELECT SUM(bookings) > 0 FROM rooms; SELECT COUNT(minutes) > 0 FROM bookings;\n")
	if err != nil {
		return err
	}
	if strings.Fields(form)[0] != "2" || strings.Contains(form, "0") {
		return fmt.Errorf("the database is not as %s has it: %q", releases.Migrating, form)
	}
	all, err := e.backups(ctx, "list")
	if err != nil {
		return err
	}
	if len(all) != 1 || len(all[0].Proofs) != 1 || !strings.HasSuffix(all[0].ID, "-before-6-5-0") || len(all[0].Moved) != 0 {
		return fmt.Errorf("there is no proved backup of before: %+v", all)
	}
	e.measurePhases(all[0])
	if _, err := e.Expect(ctx, 3, e.quick("rollback", "--to", releases.Stable, "--host", appHost)...); err != nil {
		return fmt.Errorf("a rollback past a database that was changed for good: %w", err)
	}
	if err := errors.Join(e.gateOpen(ctx, appHost), e.nothingLeft(ctx)); err != nil {
		return err
	}
	return e.freshApp(ctx)
}

// keepBooking writes bookings until it is stopped and returns the tokens of those that were acknowledged.
func (e *Env) keepBooking(ctx context.Context) []string {
	var acknowledged []string
	for n := 0; ctx.Err() == nil; n++ {
		token := fmt.Sprintf("meanwhile-%d", n)
		if ok, err := e.book(ctx, "studio", token); ok && err == nil {
			acknowledged = append(acknowledged, token)
		}
		if sleep.For(ctx, 50*time.Millisecond) != nil {
			break
		}
	}
	return acknowledged
}

// allBooked wants every acknowledged booking in the database.
func (e *Env) allBooked(ctx context.Context, acknowledged []string) error {
	text, err := e.sql(ctx, "SELECT token FROM bookings;\n")
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, token := range strings.Fields(text) {
		there[token] = true
	}
	var missing []string
	for _, token := range acknowledged {
		if !there[token] {
			missing = append(missing, token)
		}
	}
	if len(missing) > 0 || len(acknowledged) == 0 {
		return fmt.Errorf("of %d acknowledged bookings %d are gone: %q", len(acknowledged), len(missing), missing)
	}
	e.Measure("bookings that were acknowledged", "%d, none lost", len(acknowledged))
	return nil
}

// migrationFails has a migration fail on the site's own data, after it has changed the database already: it is as it
// was before, and the former release serves.
func migrationFails(ctx context.Context, e *Env) error {
	if err := e.freshApp(ctx); err != nil {
		return err
	}
	if err := e.mustBook(ctx, "one", "twice", "twice"); err != nil { // the migration wants each token once
		return err
	}
	before, err := e.contents(ctx)
	if err != nil {
		return err
	}
	said, err := e.Expect(ctx, 4, e.quick("update", "--to", releases.Migrating, "--host", appHost)...)
	if err != nil {
		return err
	}
	if !strings.Contains(said.Stderr, "Duplicate entry 'twice'") {
		return fmt.Errorf("it does not say why the migration failed: %s", said.Stderr)
	}
	if err := e.haveReleases(ctx, map[string]string{appHost: releases.Stable}); err != nil {
		return err
	}
	after, err := e.contents(ctx)
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("the database is not what it was:\n%s\n%s", before, after)
	}
	if err := errors.Join(e.gateOpen(ctx, appHost), e.nothingLeft(ctx), e.mustBook(ctx, "afterwards")); err != nil {
		return err
	}
	return e.serves(ctx)
}

// backup makes a backup of a database that serves, proves it once more, spoils it, and restores another.
func backup(ctx context.Context, e *Env) error {
	if err := e.freshApp(ctx); err != nil {
		return err
	}
	if err := e.mustBook(ctx, "kept-1", "kept-2"); err != nil {
		return err
	}
	before, err := e.contents(ctx)
	if err != nil {
		return err
	}
	made, err := e.backups(ctx, "create")
	if err != nil {
		return err
	}
	if len(made) != 1 || len(made[0].Proofs) != 1 || made[0].Proofs[0].Compared["accounts"] == 0 || made[0].Proofs[0].Compared["event"] != 1 {
		return fmt.Errorf("the backup is not proved: %+v", made)
	}
	e.measurePhases(made[0])
	if again, err := e.backups(ctx, "verify"); err != nil || len(again[0].Proofs) != 2 {
		return errors.Join(err, fmt.Errorf("it was not proved again: %+v", again))
	}
	if err := e.mustBook(ctx, "lost-1"); err != nil {
		return err
	}
	if err := e.restored(ctx, made[0].ID, before); err != nil {
		return err
	}
	return e.badBackup(ctx, made[0].ID)
}

// restored has the database become what a backup holds, for who names the site alone.
func (e *Env) restored(ctx context.Context, id, before string) error {
	if _, err := e.Expect(ctx, 2, "backup", "restore", id, "--site-name", "another", "--yes"); err != nil {
		return err
	}
	if _, err := e.backups(ctx, "restore", id, "--site-name", "practice", "--yes"); err != nil {
		return err
	}
	after, err := e.contents(ctx)
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("the database is not what was backed up:\n%s\n%s", before, after)
	}
	all, err := e.backups(ctx, "list")
	if err != nil {
		return err
	}
	if len(all) != 2 || !strings.HasSuffix(all[1].ID, "-before-restore") || len(all[1].Proofs) != 1 {
		return fmt.Errorf("what was there before is in no proved backup: %+v", all)
	}
	return errors.Join(e.nothingLeft(ctx), e.mustBook(ctx, "afterwards"), e.gateOpen(ctx, appHost))
}

// badBackup spoils a backup's file, and has an update meet a database that cannot be backed up: both are refused with
// nothing changed.
func (e *Env) badBackup(ctx context.Context, id string) error {
	file := "/var/lib/valtctl/backup/" + id + "/dump.sql.zst"
	for _, spoil := range [][]string{
		{"dd", "if=/dev/zero", "of=" + file, "bs=1", "seek=200", "count=1", "conv=notrunc"},
		{"truncate", "--size=-1", file},
	} {
		if _, err := e.Lab.Output(ctx, appHost, spoil...); err != nil {
			return err
		}
		if _, err := e.Expect(ctx, 6, "backup", "verify", id); err != nil {
			return fmt.Errorf("a backup spoiled by %q: %w", spoil, err)
		}
		if _, err := e.Expect(ctx, 6, "backup", "restore", id, "--site-name", "practice", "--yes"); err != nil {
			return fmt.Errorf("a backup spoiled by %q: %w", spoil, err)
		}
	}
	if _, err := e.sql(ctx, "CREATE TABLE gone (id INT); CREATE VIEW orphan AS SELECT id FROM gone; DROP TABLE gone;\n"); err != nil {
		return err
	}
	said, err := e.Expect(ctx, 4, e.quick("update", "--to", releases.Migrating, "--host", appHost)...)
	if err != nil {
		return err
	}
	if !strings.Contains(said.Stderr, "orphan") {
		return fmt.Errorf("it does not say what cannot be backed up: %s", said.Stderr)
	}
	if _, err := e.sql(ctx, "DROP VIEW orphan;\n"); err != nil {
		return err
	}
	if err := errors.Join(e.haveReleases(ctx, map[string]string{appHost: releases.Stable}), e.nothingLeft(ctx), e.mustBook(ctx, "still-there")); err != nil {
		return err
	}
	return e.serves(ctx)
}
