package database

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Item is one thing of a database: a table, a view, a routine, a trigger, an event, or what is known
// of accounts.
type Item struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Shape is the SHA-256 of how it is defined.
	Shape string `json:"shape"`
	// Rows and Sum are a table's: how many it has, and the server's checksum over them all.
	Rows string `json:"rows,omitempty"`
	Sum  string `json:"sum,omitempty"`
}

// The kinds of items.
const (
	kindTable    = "table"
	kindAccounts = "accounts" // one of the server's own tables of who may do what
)

// Inventory is all that a database holds, in a fixed order.
type Inventory []Item

// own are the server's schemas, which no dump holds: whoever runs the image makes them.
const own = "('information_schema','performance_schema','mysql','sys')"

// grantTables are the server's tables of accounts, roles and their grants, of MariaDB and of MySQL.
// They are dumped and compared as tables, since the servers' own ways to write accounts as
// statements fail for an account of a host name where names are not looked up.
const grantTables = "('global_priv','user','db','tables_priv','columns_priv','procs_priv','proxies_priv','roles_mapping','role_edges','default_roles','global_grants')"

// definitions are what has no rows. What a server writes by itself (when something was made) is left out.
var definitions = []string{
	`SELECT 'view', CONCAT(table_schema,'.',table_name), definer, security_type, check_option, view_definition
 FROM information_schema.views WHERE table_schema NOT IN ` + own,
	`SELECT 'routine', CONCAT(routine_schema,'.',routine_name,' ',routine_type), definer, security_type, sql_mode, sql_data_access, IFNULL(dtd_identifier,''), IFNULL(routine_definition,'')
 FROM information_schema.routines WHERE routine_schema NOT IN ` + own,
	`SELECT 'parameter', CONCAT(specific_schema,'.',specific_name,' ',ordinal_position), IFNULL(parameter_mode,''), IFNULL(parameter_name,''), dtd_identifier
 FROM information_schema.parameters WHERE specific_schema NOT IN ` + own,
	`SELECT 'trigger', CONCAT(trigger_schema,'.',trigger_name), definer, sql_mode, event_object_table, action_order, action_timing, event_manipulation, action_statement
 FROM information_schema.triggers WHERE trigger_schema NOT IN ` + own,
	`SELECT 'event', CONCAT(event_schema,'.',event_name), definer, sql_mode, status, on_completion, event_type, IFNULL(execute_at,''), IFNULL(interval_value,''), IFNULL(interval_field,''), event_definition
 FROM information_schema.events WHERE event_schema NOT IN ` + own,
	`SELECT 'schema', schema_name, default_character_set_name, default_collation_name
 FROM information_schema.schemata WHERE schema_name NOT IN ` + own,
}

// takeInventory asks a database for all that it holds.
func takeInventory(ctx context.Context, s *server) (Inventory, error) {
	all, err := s.tables(ctx)
	if err != nil {
		return nil, fmt.Errorf("taking an inventory of the database: %w", err)
	}
	rows, err := s.query(ctx, strings.Join(definitions, ";\n")+";\n") // at once: entering a container takes its time
	if err != nil {
		return nil, fmt.Errorf("taking an inventory of the database: %w", err)
	}
	for _, row := range rows {
		if len(row) < 2 {
			return nil, fmt.Errorf("taking an inventory of the database: it answered %q", row)
		}
		all = append(all, Item{Kind: row[0], Name: row[1], Shape: digest(strings.Join(row[2:], "\t"))})
	}
	slices.SortFunc(all, func(a, b Item) int { return strings.Compare(a.key(), b.key()) })
	return all, nil
}

// autoIncrement is a counter that moves with every row: it is the table's content, not its shape.
var autoIncrement = regexp.MustCompile(` AUTO_INCREMENT=\d+`)

// tables asks for every table: its shape, its rows and their checksum.
func (s *server) tables(ctx context.Context) (Inventory, error) {
	names, err := s.query(ctx, `SELECT table_schema, table_name FROM information_schema.tables WHERE table_type IN ('BASE TABLE','SEQUENCE')
 AND (table_schema NOT IN `+own+` OR table_schema='mysql' AND table_name IN `+grantTables+`) ORDER BY 1, 2;`+"\n")
	if err != nil {
		return nil, err
	}
	var sql strings.Builder
	for _, n := range names {
		if len(n) != 2 {
			return nil, fmt.Errorf("it names a table %q", n)
		}
		at := identifier(n[0]) + "." + identifier(n[1])
		fmt.Fprintf(&sql, "SHOW CREATE TABLE %s;\nSELECT COUNT(*) FROM %s;\nCHECKSUM TABLE %s EXTENDED;\n", at, at, at)
	}
	if len(names) == 0 {
		return nil, nil
	}
	rows, err := s.query(ctx, sql.String())
	if err != nil {
		return nil, err
	}
	if len(rows) != 3*len(names) {
		return nil, fmt.Errorf("it answered %d lines about %d tables", len(rows), len(names))
	}
	var all Inventory
	for i, n := range names {
		shape, count, sum := rows[3*i], rows[3*i+1], rows[3*i+2]
		if len(shape) < 2 || len(count) != 1 || len(sum) != 2 || sum[1] == "NULL" {
			return nil, fmt.Errorf("it answered %q about table %s.%s", sum, n[0], n[1])
		}
		kind := kindTable
		if n[0] == "mysql" {
			kind = kindAccounts
		}
		all = append(all, Item{Kind: kind, Name: n[0] + "." + n[1], Shape: digest(autoIncrement.ReplaceAllString(shape[1], "")), Rows: count[0], Sum: sum[1]})
	}
	return all, nil
}

func (i Item) key() string { return i.Kind + " " + i.Name }

func (i Item) String() string { return i.key() }

// identifier quotes a name as the client gave it, where a backslash stands before what it escaped.
func identifier(name string) string {
	plain := strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\0`, "\x00").Replace(name)
	return "`" + strings.ReplaceAll(plain, "`", "``") + "`"
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// compare says how got differs from want, a line for each item. What was written to while it was
// dumped is compared by its shape alone.
func compare(want, got Inventory, moved []string) []string {
	var diff []string
	there := map[string]Item{}
	for _, i := range got {
		there[i.key()] = i
	}
	for _, w := range want {
		g, ok := there[w.key()]
		delete(there, w.key())
		switch {
		case !ok:
			diff = append(diff, w.String()+" is missing")
		case g.Shape != w.Shape:
			diff = append(diff, w.String()+" is defined differently")
		case slices.Contains(moved, w.Name):
		case g.Rows != w.Rows:
			diff = append(diff, fmt.Sprintf("%s has %s rows instead of %s", w, g.Rows, w.Rows))
		case g.Sum != w.Sum:
			diff = append(diff, fmt.Sprintf("%s has another content (checksum %s instead of %s)", w, g.Sum, w.Sum))
		}
	}
	for _, i := range got {
		if _, extra := there[i.key()]; extra {
			diff = append(diff, i.String()+" was not in it")
		}
	}
	return diff
}

// movedBetween are the tables whose content differs between two inventories of the same database. An
// error is anything else: it was changed in its form meanwhile, and a dump may be of neither.
func movedBetween(before, after Inventory) ([]string, error) {
	var moved []string
	was := map[string]Item{}
	for _, i := range before {
		was[i.key()] = i
	}
	for _, i := range after {
		b, ok := was[i.key()]
		delete(was, i.key())
		if !ok || b.Shape != i.Shape {
			return nil, fmt.Errorf("%s was made or changed meanwhile", i)
		}
		if b != i {
			moved = append(moved, i.Name)
		}
	}
	for _, i := range before {
		if _, gone := was[i.key()]; gone {
			return nil, fmt.Errorf("%s was removed meanwhile", i)
		}
	}
	return moved, nil
}

// Count is how many things of each kind there are.
func (v Inventory) Count() map[string]int {
	n := map[string]int{}
	for _, i := range v {
		n[i.Kind]++
	}
	return n
}
