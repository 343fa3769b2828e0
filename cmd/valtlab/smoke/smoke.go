// Package smoke asks an installed site what its people would ask it: the application's
// page and health by the name that clients type, with the certificate verified; each media
// engine's version over the network; and a camera, from the media host that records it.
// It uses nothing of the product and changes nothing.
package smoke

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Site is whom to ask.
type Site struct {
	Name    string     // what clients type
	App     netip.Addr // where that name must lead
	Media   []Media
	Release string // the version that the application must say; empty: any
}

// Media is one media host and the cameras it records.
type Media struct {
	Host    string
	Address netip.Addr
	Cameras []netip.Addr
}

// Runner runs a program in a container of the lab and returns its standard output.
type Runner interface {
	Output(ctx context.Context, container string, argv ...string) (string, error)
}

// Answer is what somebody said to a visitor.
type Answer struct {
	From, Asked string // who asked what
	Said        string // the telling part of the answer
	Err         error  // why it is not one
}

// client is the lab's container of somebody who watches. It trusts the lab's authority.
const client = "client"

// seconds each question may take, as curl takes it.
const seconds = "15"

// All asks everything and returns every answer, the bad ones included.
func All(ctx context.Context, lab Runner, s Site) []Answer {
	v := visitor{lab, s}
	answers := []Answer{
		v.web(ctx, "/", regexp.MustCompile(`VALT \d[\w.]*`)),
		v.web(ctx, "/health", regexp.MustCompile(`\{.*"status": ?"ok".*\}`)),
	}
	for _, m := range s.Media {
		answers = append(answers, v.engine(ctx, m))
		for _, camera := range m.Cameras {
			answers = append(answers, v.camera(ctx, m, camera))
		}
	}
	return answers
}

// Err joins what is wrong with the answers; nil where nothing is.
func Err(answers []Answer) error {
	var errs []error
	for _, a := range answers {
		if a.Err != nil {
			errs = append(errs, fmt.Errorf("asking %s from %s: %w", a.Asked, a.From, a.Err))
		}
	}
	return errors.Join(errs...)
}

type visitor struct {
	lab  Runner
	site Site
}

// web asks the application as a browser does. The name leads to the application's address
// whatever the lab's DNS says, since a further host may be the one that is visited.
func (v visitor) web(ctx context.Context, path string, want *regexp.Regexp) Answer {
	url := "https://" + v.site.Name + path
	answer := v.curl(ctx, client, url, want, "--resolve", v.site.Name+":443:"+v.site.App.String())
	if answer.Err == nil && !strings.Contains(answer.Said, v.site.Release) {
		answer.Err = fmt.Errorf("it does not say %s but %q", v.site.Release, answer.Said)
	}
	return answer
}

func (v visitor) engine(ctx context.Context, m Media) Answer {
	return v.curl(ctx, client, "http://"+m.Address.String()+":8086/", regexp.MustCompile(`Wowza Streaming Engine \d[^<]*`))
}

// camera sends RTSP's OPTIONS, which is what curl asks of such an address.
func (v visitor) camera(ctx context.Context, m Media, camera netip.Addr) Answer {
	return v.curl(ctx, m.Host, "rtsp://"+camera.String()+"/", regexp.MustCompile(`RTSP/1\.0 200 OK`), "--include")
}

// curl asks one address from inside a container. The answer is the part that want matches.
func (v visitor) curl(ctx context.Context, from, url string, want *regexp.Regexp, more ...string) Answer {
	argv := slices.Concat([]string{"curl", "--silent", "--show-error", "--fail", "--max-time", seconds}, more, []string{url})
	out, err := v.lab.Output(ctx, from, argv...)
	answer := Answer{From: from, Asked: url, Said: want.FindString(out), Err: err}
	if err == nil && answer.Said == "" {
		answer.Err = fmt.Errorf("the answer is not what was expected but %.200q", out)
	}
	return answer
}
