package plan

import (
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// lineOf is the line of a YAML text that a path of keys (string) and places in lists (int) leads
// to: as far as it leads, since a short form has no parts. 0: it leads nowhere, or the text
// cannot be read.
func lineOf(content []byte, path ...any) int {
	file, err := parser.ParseBytes(content, 0, parser.AllowDuplicateMapKey())
	if err != nil || len(file.Docs) == 0 || len(path) == 0 {
		return 0
	}
	line, node := 0, file.Docs[0].Body
	for _, part := range path {
		key, next := child(node, part)
		if next == nil {
			break
		}
		line, node = key.GetToken().Position.Line, next
	}
	return line
}

// child is one value of a mapping or list, and what names its line.
func child(node ast.Node, part any) (at, value ast.Node) {
	switch n := node.(type) {
	case *ast.AnchorNode:
		return child(n.Value, part)
	case *ast.TagNode:
		return child(n.Value, part)
	case *ast.MappingNode:
		for _, pair := range n.Values {
			if at, value := child(pair, part); value != nil {
				return at, value
			}
		}
	case *ast.MappingValueNode:
		if n.Key.GetToken().Value == part {
			return n.Key, n.Value
		}
	case *ast.SequenceNode:
		return item(n, part)
	}
	return nil, nil
}

// item is one of a list: by its place, or, where a list stands for a mapping (labels,
// extra_hosts, sysctls), by the name that it begins with.
func item(list *ast.SequenceNode, part any) (at, value ast.Node) {
	for i, v := range list.Values {
		name, named := part.(string)
		if i == part || named && name != "" && beginsWith(v.GetToken().Value, name) {
			return v, v
		}
	}
	return nil, nil
}

func beginsWith(text, name string) bool {
	rest, ok := strings.CutPrefix(text, name)
	return ok && (rest == "" || strings.ContainsAny(rest[:1], "=:"))
}

// atError names the file and, as far as an error of the loader tells it, the line: it names a path
// (services.web.hostname), a service, or the line itself.
func (c Compose) atError(text string) string {
	if found := regexp.MustCompile(`(services|networks|volumes|secrets)(\.[A-Za-z0-9_-]+)+`).FindString(text); found != "" {
		var path []any
		for part := range strings.SplitSeq(found, ".") {
			path = append(path, part)
		}
		return c.at(path...)
	}
	if found := regexp.MustCompile(`service "?([A-Za-z0-9_-]+)`).FindStringSubmatch(text); found != nil {
		return c.at("services", found[1])
	}
	if found := regexp.MustCompile(`(?s).*\bline (\d+)`).FindStringSubmatch(text); found != nil {
		return c.at() + ":" + found[1]
	}
	return c.at()
}
