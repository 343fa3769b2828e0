package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
	"ipivs.com/valtctl/repos/release/allowed"
)

// Project is the Compose project that all containers of a host belong to.
const Project = "valt"

// Compose is one role's Compose file and what it is read with.
type Compose struct {
	File      string // where it is on the host
	Target    string // what the release has it as, which errors name; empty: File
	Content   []byte
	Site      string
	Role      string
	Disrupts  step.Disruption // what replacing one of its containers interrupts
	Release   string
	Vars      map[string]string        // values of ${NAME}
	Images    map[string]release.Image // the manifest's
	Platform  string                   // "linux/amd64"
	Endpoints map[string]string        // vendor's registry host to the site's host[:port]
	Own       allowed.Site             // what the site's owner has chosen for the host, beside Vars
}

// Stack is a Compose file as steps' parameters. Containers are in the order to start them:
// what others depend on first, then by name.
type Stack struct {
	Networks   []docker.NetworkParams
	Images     []docker.ImageParams // without the login
	Containers []docker.ContainerParams
}

// Services reads a Compose file with nothing but what it is given: no environment, no
// home folder, no other file. What the file asks for beyond the attributes that are
// translated is refused, each with file, service and attribute.
func Services(ctx context.Context, c Compose) (Stack, error) {
	c.Own.Recordings = cmp.Or(c.Own.Recordings, c.Vars[varRecordings])
	project, refused := c.load(ctx)
	if project == nil {
		return Stack{}, refused
	}
	order, err := c.order(project)
	if err != nil {
		return Stack{}, errors.Join(refused, err)
	}
	var stack Stack
	errs := []error{refused}
	for _, name := range order {
		made, err := c.container(project, project.Services[name])
		errs = append(errs, err)
		stack.Containers = append(stack.Containers, made)
	}
	for _, key := range slices.Sorted(maps.Keys(project.Networks)) {
		made, err := c.network(key, project.Networks[key])
		errs = append(errs, err)
		stack.Networks = append(stack.Networks, made)
	}
	if err := errors.Join(errs...); err != nil {
		return Stack{}, err
	}
	stack.Images = c.images(project)
	return stack, nil
}

// load parses the file. Interpolation sees the given variables alone. With attributes that
// are refused the project comes back beside the error, so that all errors are told at once.
func (c Compose) load(ctx context.Context) (*types.Project, error) {
	var refused []loader.UnsupportedAttribute
	options := []func(*loader.Options){
		func(o *loader.Options) {
			o.SetProjectName(Project, true)
			o.SkipInclude, o.SkipExtends = true, true
			o.ResolvePaths, o.SkipResolveEnvironment, o.SkipResolveLabels = false, true, true
			o.Interpolate = &interpolation.Options{
				LookupValue:     func(name string) (string, bool) { v, ok := c.Vars[name]; return v, ok },
				Substitute:      substitute,
				TypeCastMapping: o.Interpolate.TypeCastMapping,
			}
		},
		loader.WithUnsupportedAttributesCheck(refusedValues(), func(found []loader.UnsupportedAttribute) { refused = found }),
		loader.WithSupportedAttributes(translated(), nil),
	}
	details := types.ConfigDetails{
		WorkingDir: path.Dir(c.File), Environment: types.Mapping{},
		ConfigFiles: []types.ConfigFile{{Filename: c.File, Content: c.Content}},
	}
	project, err := loader.LoadWithContext(ctx, details, options...)
	if err != nil {
		// What is refused may be why the rest did not load, so it is said first.
		return nil, errors.Join(c.refusals(refused), c.loadErrors(err))
	}
	return project, c.refusals(refused)
}

// substitute fills in variables. One that is not known is an error even where the file
// has a default for it: a misspelt name would silently mean the default.
func substitute(text string, known template.Mapping) (string, error) {
	var unknown []string
	filled, err := template.SubstituteWithOptions(text, func(name string) (string, bool) {
		value, ok := known(name)
		if !ok && !slices.Contains(unknown, name) {
			unknown = append(unknown, name)
		}
		return value, ok
	}, template.WithoutLogging)
	if len(unknown) > 0 {
		return "", fmt.Errorf("the variable %s is not known", strings.Join(unknown, ", "))
	}
	if err != nil {
		return "", fmt.Errorf("reading %q: %w", text, err)
	}
	return filled, nil
}

// Expand fills ${NAME} in a text that is not a Compose file: a configuration file or the
// address of a health check. $$ stands for $.
func Expand(text string, vars map[string]string) (string, error) {
	return substitute(text, func(name string) (string, bool) { v, ok := vars[name]; return v, ok })
}

// loadErrors makes each of the loader's errors a problem.
func (c Compose) loadErrors(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range joined.Unwrap() {
			errs = append(errs, c.loadErrors(e))
		}
		return errors.Join(errs...)
	}
	return &problem.Error{Kind: problem.Input, Doing: "reading Compose file", Object: c.atError(err.Error()), Err: err}
}

// refuse is the error about one attribute of a service; further steps lead on from there.
func (c Compose) refuse(service, attribute string, err error, further ...any) error {
	at := []any{"services", service}
	for part := range strings.SplitSeq(attribute, ".") {
		at = append(at, part)
	}
	return c.refuseAt(fmt.Sprintf("service %s: %s", service, attribute), err, append(at, further...)...)
}

// refuseAt is the error about something at a path of the file.
func (c Compose) refuseAt(what string, err error, at ...any) error {
	return &problem.Error{Kind: problem.Input, Doing: "reading Compose file", Object: c.at(at...),
		Err: fmt.Errorf("%s: %w", what, err), Fix: allowed.Instead(err)}
}

// at names the file, and the line that a path of it leads to where there is one.
func (c Compose) at(path ...any) string {
	name := cmp.Or(c.Target, c.File)
	if line := lineOf(c.Content, path...); line > 0 {
		return fmt.Sprintf("%s:%d", name, line)
	}
	return name
}

// order sorts services: what others depend on first, then by name.
func (c Compose) order(project *types.Project) ([]string, error) {
	waiting := slices.Sorted(maps.Keys(project.Services))
	var order []string
	for len(waiting) > 0 {
		next := slices.IndexFunc(waiting, func(name string) bool {
			return !slices.ContainsFunc(waiting, func(other string) bool {
				_, needs := project.Services[name].DependsOn[other]
				return needs
			})
		})
		if next < 0 {
			return nil, c.refuse(waiting[0], "depends_on", errors.New("the services wait for one another in a circle"))
		}
		order = append(order, waiting[next])
		waiting = slices.Delete(waiting, next, next+1)
	}
	return order, nil
}

func (c Compose) network(key string, n types.NetworkConfig) (docker.NetworkParams, error) {
	made := docker.NetworkParams{Name: n.Name, Site: c.Site, Project: Project, Network: key, Internal: n.Internal}
	if len(n.Ipam.Config) > 1 {
		return made, c.refuseAt("network "+key+": ipam.config", errors.New("more than one subnet"), "networks", key, "ipam", "config")
	}
	for _, pool := range n.Ipam.Config {
		made.Subnet = pool.Subnet
		if err := allowed.Subnet(pool.Subnet); err != nil {
			return made, c.refuseAt("network "+key+": ipam.config", err, "networks", key, "ipam", "config", 0)
		}
	}
	return made, nil
}

// images lists what the services use, each once, the largest first: the engine keeps a layer's
// file until it has unpacked it, and what comes last comes to the fullest disk.
func (c Compose) images(project *types.Project) []docker.ImageParams {
	used := map[string]docker.ImageParams{}
	for _, s := range project.Services {
		// Errors were told when the service was translated.
		if name, platform, err := c.image(s.Image); err == nil {
			used[name] = docker.ImageParams{Name: name, Repository: ReplaceEndpoint(c.Images[name].Repository, c.Endpoints),
				Digests: digests(platform), Size: platform.Size}
		}
	}
	return slices.SortedFunc(maps.Values(used), func(a, b docker.ImageParams) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name))
	})
}

// image finds the manifest's image that a service names: by the manifest's name for it, by
// its repository, or by its repository and digest.
func (c Compose) image(named string) (string, release.ImagePlatform, error) {
	for _, name := range slices.Sorted(maps.Keys(c.Images)) {
		image := c.Images[name]
		platform, ok := image.Platforms[c.Platform]
		repository, digest, pinned := strings.Cut(named, "@")
		if named != name && (repository != image.Repository || pinned && digest != platform.Manifest && digest != platform.Index) {
			continue
		}
		if !ok {
			return "", release.ImagePlatform{}, fmt.Errorf("the release has no image %s for %s", name, c.Platform)
		}
		return name, platform, nil
	}
	return "", release.ImagePlatform{}, fmt.Errorf("%q is none of the release's images (%s)", named,
		strings.Join(slices.Sorted(maps.Keys(c.Images)), ", "))
}

func digests(p release.ImagePlatform) docker.ImageDigests {
	return docker.ImageDigests{Index: p.Index, Manifest: p.Manifest, Config: p.Config}
}

// ReplaceEndpoint puts the site's own registry in a repository's name.
func ReplaceEndpoint(repository string, endpoints map[string]string) string {
	host, rest, _ := strings.Cut(repository, "/")
	if own := endpoints[host]; own != "" {
		return own + "/" + rest
	}
	return repository
}
