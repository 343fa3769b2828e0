package site

import (
	"net/url"
	"path"
	"time"
)

// SiteCheck is one check of the site's own: an address that must answer 200, or a program that
// must end with 0.
type SiteCheck struct {
	Name     string   `json:"name" jsonschema:"required" jsonschema_description:"A short name, for plans and reports."`
	URL      string   `json:"url,omitempty" jsonschema_description:"An address that answers 200 where all is well. Not together with program."`
	Program  string   `json:"program,omitempty" jsonschema_description:"A program on the host, that ends with 0 where all is well. Only root may be able to change it."`
	Host     string   `json:"host,omitempty" jsonschema_description:"The host that is asked, after its own change. The default is the application server, and every host where there is none."`
	Required bool     `json:"required,omitempty" jsonschema_description:"true: a host whose check does not pass goes back to what it was. false (the default): that is told, and that is all."`
	Within   Duration `json:"within" jsonschema_description:"How long it may take until it passes. The default is 1m."`
}

// Hooks are programs on every host, root's, that are told what happens to it. One that fails, or
// is not over in time, is told and stops nothing.
type Hooks struct {
	BeforeDrain string   `json:"before_drain,omitempty" jsonschema_description:"Is run before a host's gate closes for new sessions."`
	AfterAdmit  string   `json:"after_admit,omitempty" jsonschema_description:"Is run once the gate is open again, whatever became of the change."`
	Within      Duration `json:"within" jsonschema_description:"How long each may take; then it is ended. The default is 1m."`
}

const ownWithin = Duration(time.Minute)

// AskedOn says whether a check is asked on a host.
func (c SiteCheck) AskedOn(s *Site, h Host) bool {
	if c.Host != "" {
		return c.Host == h.Name
	}
	app, ok := s.App()
	return !ok || app.Name == h.Name
}

func (r *reader) checks(v value) []SiteCheck {
	var all []SiteCheck
	for _, item := range r.items(v) {
		c := SiteCheck{Within: ownWithin}
		r.object(item, []field{
			{key: "name", read: scalar(r, &c.Name, parseID), need: "name: and a short name, such as booking"},
			{key: "url", read: scalar(r, &c.URL, parseCheckURL)},
			{key: "program", read: scalar(r, &c.Program, parseProgram)},
			{key: "host", read: scalar(r, &c.Host, parseID)},
			{key: "required", read: scalar(r, &c.Required, parseBool)},
			{key: "within", read: scalar(r, &c.Within, parseDuration)},
		})
		all = append(all, c)
	}
	return all
}

func (r *reader) hooks(v value) *Hooks {
	h := &Hooks{Within: ownWithin}
	r.object(v, []field{
		{key: "before_drain", read: scalar(r, &h.BeforeDrain, parseProgram)},
		{key: "after_admit", read: scalar(r, &h.AfterAdmit, parseProgram)},
		{key: "within", read: scalar(r, &h.Within, parseDuration)},
	})
	return h
}

func parseCheckURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return "", &wrong{"it is not an http or https address", "write one such as https://valt.example.com/api/rooms, without a password"}
	}
	return s, nil
}

// parseProgram accepts a program on a host, which is not the controller's.
func parseProgram(s string) (string, error) {
	if !path.IsAbs(s) || path.Clean(s) != s || s == "/" {
		return "", &wrong{"it is not an absolute path of the host", "write a path such as /etc/valt/hooks/page-off"}
	}
	return s, nil
}
