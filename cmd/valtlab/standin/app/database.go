package app

import (
	"context"
	"crypto/sha1"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Where the database keeps its files. The data lie one folder below the mount, so that
// they come into being by one rename.
const (
	databaseMount = "/var/lib/mysql"
	databaseData  = databaseMount + "/data"
	databaseInit  = runDir + "/init.sql"
)

// database makes the data folder at the first start, sets the passwords and becomes
// MariaDB.
func database(ctx context.Context) error {
	root, err := password(secretsDir, "db-root")
	if err != nil {
		return err
	}
	app, err := password(secretsDir, "db-app")
	if err != nil {
		return err
	}
	for _, dir := range []string{databaseMount, "/run/mysqld"} {
		if err := ownFolder(dir, uidServer); err != nil {
			return err
		}
	}
	if err := initialise(ctx, databaseData, installDatabase); err != nil {
		return err
	}
	if err := privateFile(databaseInit, initSQL(root, app), uidServer); err != nil {
		return err
	}
	return become(uidServer, "/usr/sbin/mariadbd", "--datadir="+databaseData, "--init-file="+databaseInit)
}

func ownFolder(dir string, uid int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("preparing %s: %w", dir, err)
	}
	if err := os.Chown(dir, uid, uid); err != nil {
		return fmt.Errorf("preparing %s: %w", dir, err)
	}
	return nil
}

// initialise makes data with install unless it is there. A start that is cut off leaves
// a folder of another name, which the next one removes.
func initialise(ctx context.Context, data string, install func(context.Context, string) error) error {
	if _, err := os.Stat(data); err == nil {
		return nil
	} else if !os.IsNotExist(err) {
		return fmt.Errorf("looking for the data: %w", err)
	}
	fresh := data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("removing an unfinished database: %w", err)
	}
	if err := install(ctx, fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, data); err != nil {
		return fmt.Errorf("finishing the database: %w", err)
	}
	parent, err := os.Open(filepath.Dir(data))
	if err != nil {
		return fmt.Errorf("finishing the database: %w", err)
	}
	defer parent.Close()
	if err := parent.Sync(); err != nil {
		return fmt.Errorf("finishing the database: %w", err)
	}
	return nil
}

func installDatabase(ctx context.Context, dir string) error {
	install := exec.CommandContext(ctx, "/usr/bin/mariadb-install-db", "--datadir="+dir,
		"--skip-test-db", "--auth-root-authentication-method=normal")
	install.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uidServer, Gid: uidServer}}
	if output, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("making the database: %w: %s", err, output)
	}
	return nil
}

// initSQL is what MariaDB runs at every start, before it listens: a password that was
// changed on the host is taken over. It holds hashes, so there is nothing to escape and
// nothing to read.
func initSQL(root, app string) string {
	return strings.Join([]string{
		"CREATE DATABASE IF NOT EXISTS valt CHARACTER SET utf8mb4;",
		"CREATE USER IF NOT EXISTS 'valt'@'%';",
		"ALTER USER 'valt'@'%' IDENTIFIED VIA mysql_native_password USING '" + nativeHash(app) + "';",
		"GRANT ALL ON valt.* TO 'valt'@'%';",
		"ALTER USER 'root'@'localhost' IDENTIFIED VIA mysql_native_password USING '" + nativeHash(root) + "';",
	}, "\n") + "\n"
}

// nativeHash is what PASSWORD() gives: * and SHA1(SHA1(text)) in capital hex digits
// (MariaDB's documentation of mysql_native_password).
func nativeHash(text string) string {
	once := sha1.Sum([]byte(text))
	return fmt.Sprintf("*%X", sha1.Sum(once[:]))
}
