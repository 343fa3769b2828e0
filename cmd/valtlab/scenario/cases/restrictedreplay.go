package cases

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater/drain"
)

// whatItIsFor has the schedule update the site with the key, and then sends what it sent
// again with one thing changed at a time.
func (e *Env) whatItIsFor(ctx context.Context, t *thief) error {
	if err := e.changedSince(ctx, t.host.Name); err != nil {
		return err
	}
	err := e.Timed("an update with the key", func() error {
		said, err := e.lookAt(ctx, "2026-11-29T03:10:00-06:00")
		if err == nil {
			err = says(said, "the site has "+releases.Canary)
		}
		return err
	})
	if err != nil {
		return err
	}
	newest, err := e.Lab.Output(ctx, t.host.Name, "sh", "-c", "ls -d /var/lib/valtctl/txn/2* | tail -1")
	if err != nil {
		return err
	}
	text, err := e.Lab.Output(ctx, t.host.Name, "cat", newest+"/request.json")
	if err != nil {
		return err
	}
	var sent txn.Request
	if err := json.Unmarshal([]byte(text), &sent); err != nil {
		return fmt.Errorf("reading what the schedule sent: %w", err)
	}
	// In the next window it is not the hour that is wrong, nor that it was tried before.
	if err := e.judgesAt(ctx, "2026-12-06T03:10:00-06:00"); err != nil {
		return err
	}
	c, err := t.agent(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	n := 0
	changes := changesOf(sent)
	for _, name := range []string{"another image", "another file", "recordings cut", "a drain without end"} {
		if bytes.Equal(marshalled(sent), marshalled(changes[name])) || changes[name].Site == "" {
			return fmt.Errorf("the schedule's request cannot be changed to have %s", name)
		}
	}
	for name, change := range changes {
		if err := t.request(ctx, c, change); problem.KindOf(err) != problem.Trust {
			return fmt.Errorf("the schedule's own request with %s is not refused: %v", name, err)
		}
		n++
	}
	e.Measure("the schedule's own request, changed", "%d ways refused", n)
	result, err := e.onHome(ctx, "rollback", "--yes")
	if err != nil {
		return err
	}
	if result.Code != problem.Trust.ExitCode() {
		return fmt.Errorf("a rollback with the key ends with %d: %s", result.Code, result.Stderr)
	}
	e.Measure("the release before, by the product's own rollback", "refused")
	return e.haveReleases(ctx, map[string]string{t.host.Name: releases.Canary, scheduleHome: releases.Canary})
}

// changedSince changes a file of a host, as a person's install would after the site file was
// changed: the schedule does not put back what it was left with.
func (e *Env) changedSince(ctx context.Context, host string) error {
	const file = "/etc/valt/compose/media.yaml"
	if _, err := e.Lab.Output(ctx, host, "sed", "-i", "$ a # changed since", file); err != nil {
		return err
	}
	said, err := e.lookAt(ctx, "2026-11-29T02:50:00-06:00")
	if err == nil {
		err = says(said, "told: VALT practice: the update could not begin")
	}
	if err != nil {
		return err
	}
	shown, err := e.Expect(ctx, 0, "schedule", "show", "--site", scheduledFile)
	if err == nil {
		err = says(shown.Stdout, host, file+" differs")
	}
	if err != nil {
		return err
	}
	e.Measure("a host that a person has changed since", "left alone, and told")
	_, err = e.Lab.Output(ctx, host, "sed", "-i", "/^# changed since$/d", file)
	return err
}

// changesOf is a request with one thing changed.
func changesOf(sent txn.Request) map[string]txn.Request {
	with := func(change func(r *txn.Request)) txn.Request {
		r := sent
		r.Key = "" // a request of its own
		r.Steps = append([]step.Spec{}, sent.Steps...)
		change(&r)
		return r
	}
	all := map[string]txn.Request{
		"the release before": with(func(r *txn.Request) { r.Release = releases.Stable }),
		"a step less":        with(func(r *txn.Request) { r.Steps = r.Steps[1:] }),
		"steps of its own":   with(func(r *txn.Request) { r.Partial = true }),
		"no way back":        with(func(r *txn.Request) { r.Confirm = "" }),
		"a longer wait":      with(func(r *txn.Request) { r.Confirm = "100h0m0s" }),
		"another host":       with(func(r *txn.Request) { r.Host = "app1" }),
	}
	for i, s := range sent.Steps {
		var compact bytes.Buffer
		_ = json.Compact(&compact, s.Params) // it is JSON: it was just read
		text := compact.String()
		switch {
		case s.Kind == docker.KindImage:
			all["another image"] = with(func(r *txn.Request) { r.Steps[i].Params = swapDigit(text) })
		case s.Kind == drain.KindDrain:
			all["a drain without end"] = with(func(r *txn.Request) {
				r.Steps[i].Params = json.RawMessage(strings.Replace(text, `"within":"30m0s"`, `"within":"1000h0m0s"`, 1))
			})
			all["recordings cut"] = with(func(r *txn.Request) {
				r.Steps[i].Params = json.RawMessage(strings.Replace(text, "{", `{"interrupt":true,`, 1))
			})
		case s.Kind == files.KindFile && strings.Contains(text, `"content":"`):
			all["another file"] = with(func(r *txn.Request) {
				r.Steps[i].Params = json.RawMessage(strings.Replace(text, `"content":"`, `"content":"x`, 1))
			})
		}
	}
	return all
}

// marshalled is a request as it is sent.
func marshalled(r txn.Request) []byte {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil // it was read from JSON
	}
	return raw
}

// swapDigit changes the first digest of a step.
func swapDigit(params string) json.RawMessage {
	at := strings.Index(params, "sha256:") + len("sha256:")
	digit := "0"
	if params[at] == '0' {
		digit = "1"
	}
	return json.RawMessage(params[:at] + digit + params[at+1:])
}
