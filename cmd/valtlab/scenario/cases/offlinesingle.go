package cases

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// offlineSingle gives one bare server that reaches nobody the binary, a site file and a
// bundle in parts, made elsewhere by somebody whose public key it is given.
func offlineSingle(ctx context.Context, e *Env) error {
	return e.onOneServer(ctx, func(host lab.Host) error { return closedOff(ctx, e, host) })
}

func closedOff(ctx context.Context, e *Env, host lab.Host) (err error) {
	defer func() {
		clean := context.WithoutCancel(ctx)
		err = errors.Join(err, e.worldOn(clean), e.Lab.RemoveHosts(clean, makerName))
	}()
	// A licence that needs no internet.
	if _, err := e.Lab.Output(ctx, singleName, "sh", "-c", plugIn); err != nil {
		return err
	}
	site := strings.Replace(singleSite(host, e.Lab.World(), e.Lab.Camera(1)), "license: electronic, key_file: licences/"+singleName, "license: physical", 1)
	if err := e.Lab.Put(ctx, singleName, singleFolder+"/site.yaml", []byte(site)); err != nil {
		return err
	}
	if err := e.maker(ctx); err != nil {
		return err
	}
	for _, release := range []string{releases.Stable, releases.Small} {
		if err := e.carryBundle(ctx, release); err != nil {
			return err
		}
		if err := e.worldOff(ctx); err != nil {
			return err
		}
		carried := []string{"--signers", singleFolder + "/maker.pub", "--bundle", singleFolder + "/a.bundle", "--bundle", singleFolder + "/b.bundle"}
		if release == releases.Stable {
			err = e.Timed("install", func() error { return installSelf(ctx, e, "changed ", carried...) })
		} else {
			err = e.Timed("update", func() error {
				_, err := askSingle(ctx, e, append(e.quick("update", "--to", release), carried...)...)
				return err
			})
		}
		if err != nil {
			return err
		}
		if err := visitSingle(ctx, e, host); err != nil {
			return err
		}
		if e.Sample {
			return nil
		}
	}
	return nil
}

// carryBundle gathers the server's facts there, makes a bundle for it where the vendor's
// servers are reached, and carries its two parts back.
func (e *Env) carryBundle(ctx context.Context, release string) error {
	if err := e.worldOn(ctx); err != nil {
		return err
	}
	facts, err := askSingle(ctx, e, "facts", "--full", "-o", "json")
	if err != nil {
		return err
	}
	if err := e.Lab.Put(ctx, makerName, makerFolder+"/facts.json", []byte(facts)); err != nil {
		return err
	}
	file := path.Join(makerFolder, release+".bundle")
	said, err := e.onMaker(ctx, "bundle", "create", "--release", release, "--have", makerFolder+"/facts.json", "-o", file)
	if err != nil {
		return err
	}
	e.Measure("made", "%s", strings.TrimSpace(said))
	size, err := e.number(ctx, makerName, "stat", "--format", "%s", file)
	if err != nil {
		return err
	}
	// Two parts, however large its largest layer is.
	if _, err := e.onMaker(ctx, "bundle", "split", file, "--size", fmt.Sprint(size-200_000)); err != nil {
		return err
	}
	key, err := readFile(e.Lab.Path("id_ed25519.pub"))
	if err != nil {
		return err
	}
	if err := e.Lab.Put(ctx, singleName, singleFolder+"/maker.pub", key); err != nil {
		return err
	}
	for to, from := range map[string]string{"/a.bundle": file + ".1of2", "/b.bundle": file + ".2of2"} {
		if err := e.fetchFile(ctx, makerName, from, e.Lab.Path("part")); err != nil {
			return err
		}
		content, err := readFile(e.Lab.Path("part"))
		if err != nil {
			return err
		}
		if err := e.Lab.Put(ctx, singleName, singleFolder+to, content); err != nil {
			return err
		}
	}
	return nil
}
