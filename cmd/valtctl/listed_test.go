package main

import (
	"go/ast"
	"strings"
	"testing"
)

// A check that stands in no list is never asked.
func TestEveryCheckIsListed(t *testing.T) {
	judges, listed := map[string]string{}, map[string]bool{}
	for _, f := range goFiles(t) {
		if f.test || f.dir != "installer/check" {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if judgesView(n) {
					judges[n.Name.Name] = f.path
				}
			case *ast.CompositeLit:
				if array, ok := n.Type.(*ast.ArrayType); isNamed(n.Type, "hostCheck") || ok && isNamed(array.Elt, "hostCheck") {
					for _, name := range namesIn(n) {
						listed[name] = true
					}
				}
			}
			return true
		})
	}
	if judges["judgeUbuntu"] == "" || judges["judgeCameras"] == "" || judges["judgeWay"] == "" {
		t.Fatalf("found the checks %v in installer/check", judges)
	}
	for name, file := range judges {
		if !listed[name] {
			t.Errorf("%s: %s is in no list of checks, so nobody asks it: add it to hostChecks() or siteChecks() of installer/check/hosts.go, or to updateChecks() of installer/check/update.go", file, name)
		}
	}
}

// judgesView says whether a function is a check: func judgeX(v view) finding.
func judgesView(fn *ast.FuncDecl) bool {
	params, results := fn.Type.Params.List, fn.Type.Results
	return fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "judge") &&
		len(params) == 1 && isNamed(params[0].Type, "view") && results != nil && len(results.List) == 1 && isNamed(results.List[0].Type, "finding")
}

// A command that nothing calls is none.
func TestEveryCommandIsListed(t *testing.T) {
	made, called := map[string]string{}, map[string]bool{}
	for _, f := range goFiles(t) {
		if f.test || f.dir != "cmd/valtctl" {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if makesCommand(n) {
					made[n.Name.Name] = f.path
				}
			case *ast.CallExpr:
				switch fun := n.Fun.(type) {
				case *ast.Ident:
					called[fun.Name] = true
				case *ast.SelectorExpr:
					called[fun.Sel.Name] = true
				}
			}
			return true
		})
	}
	if made["installCommand"] == "" || made["lockShowCommand"] == "" {
		t.Fatalf("found the commands %v in cmd/valtctl", made)
	}
	for name, file := range made {
		if !called[name] {
			t.Errorf("%s: %s is no command yet: list it in commands() of cmd/valtctl/root.go, or in the group that it stands below", file, name)
		}
	}
}

// makesCommand says whether a function makes a command of the command line.
func makesCommand(fn *ast.FuncDecl) bool {
	if !strings.HasSuffix(fn.Name.Name, "Command") || fn.Type.Results == nil || len(fn.Type.Results.List) != 1 {
		return false
	}
	result, ok := fn.Type.Results.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	of, ok := result.X.(*ast.SelectorExpr)
	return ok && isNamed(of.X, "cobra") && of.Sel.Name == "Command"
}

// A question that no flag answers cannot be answered without a terminal.
func TestEveryQuestionHasAFlag(t *testing.T) {
	flags, found := (&app{}).initCommand().Flags(), 0
	for _, f := range goFiles(t) {
		if f.test || f.dir != "installer/wizard" {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			field, ok := n.(*ast.KeyValueExpr)
			if !ok || !isNamed(field.Key, "Flag") {
				return true
			}
			if text, ok := field.Value.(*ast.BasicLit); ok {
				found++
				flag := strings.Trim(text.Value, "\"")
				if name, ok := strings.CutPrefix(flag, "--"); !ok || flags.Lookup(name) == nil {
					t.Errorf("%s: a question is answered by %s, and init has no such flag: add it in register() of cmd/valtctl/init.go", f.path, flag)
				}
			}
			return true
		})
	}
	if found < 10 {
		t.Fatalf("found the flags of %d questions in installer/wizard", found)
	}
}

// isNamed says whether an expression is just that name.
func isNamed(e ast.Expr, name string) bool {
	ident, ok := e.(*ast.Ident)
	return ok && ident.Name == name
}

// namesIn lists every name below a node.
func namesIn(n ast.Node) []string {
	var all []string
	ast.Inspect(n, func(n ast.Node) bool {
		if ident, ok := n.(*ast.Ident); ok {
			all = append(all, ident.Name)
		}
		return true
	})
	return all
}
