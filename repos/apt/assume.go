package apt

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// relations are the fields by which apt decides what goes with what (deb-control(5)).
var relations = []string{"essential", "important", "protected", "multi-arch", "pre-depends", "depends", "provides", "conflicts", "breaks", "replaces"}

// StatusOf writes the dpkg status of a machine of which only the versions are known, by
// "name:arch". What relates packages is taken from the indexes, where they list that very
// version. Of one that they list in other versions only, what it provides is taken from the
// last of those, and nothing of one that they do not list. Dependencies that nothing
// installed answers are left out: the machine has them met, by something that the indexes
// do not tell, and apt would mend them first.
func StatusOf(installed map[string]string, indexes []*Index) []byte {
	known := relationsOf(installed, indexes)
	there, architectures := map[string]bool{}, map[string]int{}
	for key := range installed {
		name, _, _ := strings.Cut(key, ":")
		there[name] = true
		architectures[name]++
		for provided := range strings.SplitSeq(known[key].Get("Provides"), ",") {
			there[related(provided)] = true
		}
	}
	var out bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(installed)) {
		name, arch, _ := strings.Cut(key, ":")
		fmt.Fprintf(&out, "Package: %s\nStatus: install ok installed\nArchitecture: %s\nVersion: %s\n", name, arch, installed[key])
		if architectures[name] > 1 && known[key].Get("Multi-Arch") == "" {
			out.WriteString("multi-arch: same\n") // no other may be there twice
		}
		for _, field := range relations {
			value := strings.Join(strings.Fields(known[key].Get(field)), " ")
			if strings.HasSuffix(field, "depends") {
				value = met(value, there)
			}
			if value != "" {
				fmt.Fprintf(&out, "%s: %s\n", field, value)
			}
		}
		out.WriteString("\n")
	}
	return out.Bytes()
}

// relationsOf finds what the indexes say of each package that is installed.
func relationsOf(installed map[string]string, indexes []*Index) map[string]Paragraph {
	known, exact := map[string]Paragraph{}, map[string]bool{}
	for _, x := range indexes {
		for _, p := range x.Packages {
			key := p.Name + ":" + p.Architecture
			version, ok := installed[key]
			switch {
			case !ok || exact[key]:
			case version == p.Version:
				known[key], exact[key] = p.Paragraph, true
			default:
				known[key] = p.Paragraph.only([]string{"provides"})
			}
		}
	}
	return known
}

// met is the dependencies of which something is there.
func met(depends string, there map[string]bool) string {
	var kept []string
	for group := range strings.SplitSeq(depends, ",") {
		if slices.ContainsFunc(strings.Split(group, "|"), func(one string) bool { return there[related(one)] }) {
			kept = append(kept, strings.TrimSpace(group))
		}
	}
	return strings.Join(kept, ", ")
}

// related is the name in a relation such as "libc6:any (>= 2.39)".
func related(relation string) string {
	relation = strings.TrimSpace(relation)
	if end := strings.IndexAny(relation, " :(["); end >= 0 {
		return relation[:end]
	}
	return relation
}
