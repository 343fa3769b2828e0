package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/site"
)

func (a *app) siteCommand() *cobra.Command {
	return group("site", "Check, show and describe the site file",
		&cobra.Command{
			Use: "validate", Short: "Check the form of the site file", Args: cobra.NoArgs,
			Long: "Check the form of the site file. No host is asked, and what only an installation needs is not missed.",
			RunE: a.action([]string{"text", "json"}, a.siteValidate),
		},
		&cobra.Command{
			Use: "show", Short: "Show the site as it is understood, with defaults and whole paths", Args: cobra.NoArgs,
			RunE: a.action([]string{"text", "json"}, a.siteShow),
		},
		&cobra.Command{
			Use: "schema", Short: "Print the JSON Schema of the site file, for editors", Args: cobra.NoArgs,
			RunE: a.action([]string{"text", "json"}, a.siteSchema),
		})
}

// validated is the result of site validate.
type validated struct {
	File     string        `json:"file"`
	Site     string        `json:"site"`
	Hosts    int           `json:"hosts"`
	Cameras  int           `json:"cameras"`
	Warnings []problemJSON `json:"warnings"`
}

func (a *app) siteValidate(context.Context, []string) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	v := validated{File: s.File(), Site: s.ID, Hosts: len(s.Hosts), Warnings: problemList(s.Warnings)}
	for _, h := range s.Hosts {
		v.Cameras += len(h.Cameras)
	}
	return text(v, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: the site %s is in good form: %s, %s, %s\n", v.File, v.Site,
			count(v.Hosts, "host"), count(v.Cameras, "camera"), count(len(v.Warnings), "warning"))
		return err
	}), nil
}

func (a *app) siteShow(context.Context, []string) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	return text(s, func(w io.Writer) error { return writeYAML(w, s) }), nil
}

// writeYAML writes v with the keys of its JSON form, in their order.
func writeYAML(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing as JSON: %w", err)
	}
	data, err = yaml.JSONToYAML(data)
	if err != nil {
		return fmt.Errorf("turning JSON into YAML: %w", err)
	}
	_, err = w.Write(data)
	return err
}

func (a *app) siteSchema(context.Context, []string) (report, error) {
	schema := site.Schema()
	return text(json.RawMessage(schema), func(w io.Writer) error {
		_, err := w.Write(schema)
		return err
	}), nil
}

// count is a number with its noun: "1 host", "3 hosts".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
