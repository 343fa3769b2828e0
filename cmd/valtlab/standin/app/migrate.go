package app

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// migration is what version 6.5 makes of the database of 6.4. Its third statement fails where two bookings have one
// token, after the first has changed the database already: nothing but a backup leads back then.
const migration = `CREATE TABLE rooms (name VARCHAR(64) PRIMARY KEY, bookings INT NOT NULL);
INSERT INTO rooms SELECT room, COUNT(*) FROM bookings GROUP BY room;
ALTER TABLE bookings ADD COLUMN minutes INT NOT NULL DEFAULT 60, ADD UNIQUE KEY token (token);
UPDATE meta SET version = 2 WHERE version = 1;
`

// clientOptions is the login of the migration's client.
const clientOptions = runDir + "/migrate.cnf"

// migrate changes the database to the form of version 6.5, once: with another form than that of 6.4 it changes nothing.
func migrate(ctx context.Context) error {
	app, err := password(secretsDir, "db-app")
	if err != nil {
		return err
	}
	if err := privateFile(clientOptions, "[client]\nuser=valt\nhost=db\npassword="+app+"\n", 0); err != nil {
		return err
	}
	form, err := client(ctx, "SELECT version FROM meta;\n")
	if err != nil {
		return err
	}
	if form != "1" {
		return errors.New("migrating the database: it has form " + form + ", not 1")
	}
	_, err = client(ctx, migration)
	return err
}

// client gives the database's client statements and returns what it prints.
func client(ctx context.Context, statements string) (string, error) {
	cmd := exec.CommandContext(ctx, "/usr/bin/mariadb", "--defaults-extra-file="+clientOptions, "--skip-column-names", "--batch", "valt")
	cmd.Stdin = strings.NewReader(statements)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("migrating the database: %w: %s", err, text)
	}
	return strings.TrimSpace(string(text)), nil
}
