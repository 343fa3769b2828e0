package main

import (
	"encoding/json"
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step"
)

// Kinds go over the wire by their names, and stand in the requests and journals that hosts
// keep: a kind that is called otherwise is another one to them.
func TestKindsKeepTheirNames(t *testing.T) {
	kept := []step.KindName{
		"absent", "apt-source", "authorized-key", "certificate", "clock", "container", "database-backup", "database-migrate",
		"database-restore", "database-still", "database-verify", "directory", "dongle", "download", "drain",
		"engine-config", "engine-service", "file", "firewall", "health", "image", "licence", "network", "open", "packages",
		"password", "prune", "reboot", "recordings", "registry-login", "retire", "site-check", "ssh-key", "timer", "trusted-ca", "unit",
	}
	var now []step.KindName
	for _, k := range stepKinds() {
		now = append(now, k.Name)
		if !slices.Contains(kept, k.Name) {
			t.Errorf("the kind %q is not among the names that hosts keep; a new one is added to them", k.Name)
		}
	}
	for _, name := range kept {
		if !slices.Contains(now, name) {
			t.Errorf("no kind is called %q any more, and hosts keep steps of it", name)
		}
	}
}

// Every func XKind() step.Kind of the module is in the one list of its layer.
func TestEveryKindOfStepIsListed(t *testing.T) {
	called := map[string]bool{} // in a list, by the package's folder and the function's name
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		for _, d := range f.tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && (f.dir == "installer/step/kinds" && fn.Name.Name == "All" || fn.Name.Name == "Kinds") {
				for _, made := range callsIn(fn, f.tree.Name.Name) {
					called[made] = true
				}
			}
		}
	}
	for _, f := range goFiles(t) {
		for _, d := range f.tree.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || f.test || !makesKind(fn) {
				continue
			}
			if name := path.Base(f.dir) + "." + fn.Name.Name; !called[name] {
				t.Errorf("%s: %s is in no list of kinds (installer/step/kinds, updater/drain): no host could run such a step", f.path, name)
			}
		}
	}
}

// makesKind says whether a function is a kind's constructor.
func makesKind(fn *ast.FuncDecl) bool {
	if fn.Recv != nil || len(fn.Type.Params.List) > 0 || fn.Type.Results == nil || len(fn.Type.Results.List) != 1 {
		return false
	}
	switch result := fn.Type.Results.List[0].Type.(type) {
	case *ast.Ident:
		return result.Name == "Kind" && strings.HasSuffix(fn.Name.Name, "Kind")
	case *ast.SelectorExpr:
		pkg, ok := result.X.(*ast.Ident)
		return ok && pkg.Name == "step" && result.Sel.Name == "Kind"
	}
	return false
}

// callsIn lists what a list of kinds calls, with the package that it is of: "files.FileKind".
func callsIn(fn *ast.FuncDecl, own string) []string {
	var all []string
	ast.Inspect(fn, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch made := call.Fun.(type) {
		case *ast.Ident:
			all = append(all, own+"."+made.Name)
		case *ast.SelectorExpr:
			if pkg, ok := made.X.(*ast.Ident); ok {
				all = append(all, pkg.Name+"."+made.Sel.Name)
			}
		}
		return true
	})
	return all
}

// A step that changes a host says how that is taken back, and can do what it says.
func TestEveryKindDeclaresItsWayBack(t *testing.T) {
	params := sampleParams()
	for _, k := range stepKinds() {
		if k.Way != step.Reversible && k.Way != step.RestoreOnly && k.Way != step.OneWay {
			t.Errorf("the kind %q does not declare its way back: reversible, restore only or one way", k.Name)
			continue
		}
		sample, ok := params[k.Name]
		if !ok {
			t.Errorf("the kind %q has no sample parameters in this test, so its way back is not tested", k.Name)
			continue
		}
		made, err := k.New(json.RawMessage(sample))
		if err != nil {
			t.Errorf("the kind %q: %v", k.Name, err)
			continue
		}
		switch _, undoes := made.(step.Undoer); {
		case k.Way == step.Reversible && !undoes:
			t.Errorf("the kind %q declares that it is reversible, and its step has no Undo", k.Name)
		case k.Way != step.Reversible && undoes:
			t.Errorf("the kind %q declares that it is %s, and its step has an Undo", k.Name, k.Way)
		}
	}
}

// sampleParams are parameters that each kind takes.
func sampleParams() map[step.KindName]string {
	const digests = `{"index":"sha256:1","manifest":"sha256:2","config":"sha256:3"}`
	const database = `"container":"x","user":"root","password_file":"/etc/x","dir":"/srv/x","keep":5,"site":"s","host":"h","role":"app"}`
	return map[step.KindName]string{
		"absent":           `{"paths":["/srv/x"]}`,
		"apt-source":       `{"name":"xy","uri":"http://127.0.0.1/","suites":["x"],"components":["main"],"keyring":"/usr/share/keyrings/x.gpg"}`,
		"authorized-key":   `{"user":"root","comment":"x"}`,
		"certificate":      `{"path":"/etc/x","key_path":"/etc/y"}`,
		"clock":            `{"service":"chrony"}`,
		"container":        `{"name":"x","disrupts":"container","image":` + digests + `}`,
		"database-backup":  `{"id":"20261130T235012Z","why":"x",` + database,
		"database-migrate": `{"to":"6.5.0","run":{"name":"x","disrupts":"container","image":` + digests + `,"spec":{"restart":"no"}}}`,
		"database-restore": `{"backup":"20261130T235012Z",` + database,
		"database-still":   `{"to":"6.5.0",` + database,
		"database-verify":  `{"backup":"20261130T235012Z","run":"r",` + database,
		"directory":        `{"path":"/srv/x","mode":"0755"}`,
		"dongle":           `{"vendor":"0529","device":"/dev/x"}`,
		"download":         `{"packages":[{"name":"xy"}]}`,
		"drain":            `{"session_ports":[1935]}`,
		"engine-config":    `{}`,
		"engine-service":   `{}`,
		"file":             `{"path":"/etc/x","mode":"0644"}`,
		"firewall":         `{}`,
		"health":           `{"checks":[{"name":"web","url":"http://127.0.0.1/","status":200}]}`,
		"image":            `{"name":"x","repository":"x/y","digests":` + digests + `}`,
		"licence":          `{"path":"/etc/x","secret":"licence"}`,
		"network":          `{}`,
		"open":             `{}`,
		"packages":         `{"packages":[{"name":"xy"}]}`,
		"password":         `{"path":"/etc/x"}`,
		"prune":            `{}`,
		"reboot":           `{}`,
		"recordings":       `{"path":"/srv/x"}`,
		"registry-login":   `{"registry":"x","username":"y","password_secret":"z"}`,
		"ssh-key":          `{"path":"/root/.ssh/x"}`,
		"timer":            `{"name":"x"}`,
		"site-check":       `{"name":"x","program":"/etc/x","within":"1s"}`,
		"trusted-ca":       `{}`,
		"unit":             `{"name":"x.service"}`,
		"retire":           `{"site":"st-marys"}`,
	}
}
