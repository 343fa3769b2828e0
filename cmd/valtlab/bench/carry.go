package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/scenario"
	"ipivs.com/valtctl/cmd/valtlab/scenario/cases"
)

// What must hold of bundles.
const (
	wantVerify = 0.8 // times the speed of openssl, with one processor
	wantCreate = 1.3 // times the time of copying and hashing
	wantDisk   = 1.1 // times what the host lacks, unpacked
)

// RunCarry measures bundles, beside what is commonly used in their place, and prints. The
// error tells what does not hold.
func RunCarry(ctx context.Context, o Options, e *scenario.Env) (err error) {
	b := &bench{Options: o}
	if b.work, err = os.MkdirTemp("", "valtlab-bench-"); err != nil {
		return fmt.Errorf("making a folder to work in: %w", err)
	}
	defer os.RemoveAll(b.work)
	f, err := b.carryFiles(ctx, o.Lab.Path("id_ed25519"))
	if err != nil {
		return err
	}
	c, err := cases.MeasureCarry(ctx, e)
	if err != nil {
		return err
	}
	if err := writeCarry(o.Out, f, c); err != nil {
		return err
	}
	return judgeCarry(f, c)
}

// The ratios, each so that its wish reads as in the comments above.
func (f files) verifies() float64 { return f.openssl.Seconds() / f.verify.Seconds() }
func (f files) shares() float64   { return f.verify.Seconds() / f.verifyAll.Seconds() }
func (f files) creates() float64  { return f.create.Seconds() / f.copied.Seconds() }
func disks(c cases.Carry) float64 {
	return float64(c.Peak) / float64(max(1, c.Lacked))
}

func judgeCarry(f files, c cases.Carry) error {
	var errs []error
	if r := f.verifies(); r < wantVerify {
		errs = append(errs, fmt.Errorf("verify is %.2f times as fast as openssl with one processor, not %.1f", r, wantVerify))
	}
	if r := f.shares(); r <= 1 {
		errs = append(errs, fmt.Errorf("verify with all processors is %.2f times as fast as with one", r))
	}
	if r := f.creates(); r > wantCreate {
		errs = append(errs, fmt.Errorf("create takes %.2f times as long as copying and hashing, more than %.1f", r, wantCreate))
	}
	if r := disks(c); r > wantDisk {
		errs = append(errs, fmt.Errorf("an installation from a bundle takes at the most %.2f times the disk that the host lacks, more than %.1f", r, wantDisk))
	}
	return errors.Join(errs...)
}

func writeCarry(w io.Writer, f files, c cases.Carry) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	speed := func(t time.Duration) string {
		return fmt.Sprintf("%.3f s\t%.0f MB/s", t.Seconds(), float64(f.bytes)/t.Seconds()/1e6)
	}
	fmt.Fprintf(table, "a bundle of %.0f MB\tmedian\t\tratio\n", float64(f.bytes)/1e6)
	fmt.Fprintf(table, "openssl dgst -sha256, one processor\t%s\t\n", speed(f.openssl))
	fmt.Fprintf(table, "valtctl bundle verify, one processor\t%s\t%.2f times as fast (wanted: %.1f or more)\n", speed(f.verify), f.verifies(), wantVerify)
	fmt.Fprintf(table, "valtctl bundle verify, all processors\t%s\t%.2f times as fast as with one (wanted: more than 1)\n", speed(f.verifyAll), f.shares())
	fmt.Fprintf(table, "copying and hashing from the mirror\t%s\t\n", speed(f.copied))
	fmt.Fprintf(table, "writing a bundle from the mirror\t%s\t%.2f times as long (wanted: %.1f or less)\n", speed(f.create), f.creates(), wantCreate)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the measurement: %w", err)
	}
	_, err := fmt.Fprintf(w, `
%d images to a host that has none of them
docker save | gzip | ssh | docker load: %.1f s, %.1f MB sent, %.2f times the disk of the images at the most
valtctl, from a bundle:                 %.1f s, %.1f MB sent
a bare host that lacks %.0f MB, unpacked, takes at the most %.2f times that from a bundle (wanted: %.1f or less),
and %.2f times from the vendor's servers: the engine keeps a layer's file until it has unpacked it.
%.0f MB of what it lacks are files of packages that stay for the way back; without them it is %.2f times
`, c.Images, c.Loaded.Took.Seconds(), float64(c.Loaded.Sent)/1e6, float64(c.LoadPeak)/float64(max(1, c.LoadTakes)),
		c.Carried.Took.Seconds(), float64(c.Carried.Sent)/1e6, float64(c.Lacked)/1e6,
		disks(c), wantDisk, float64(c.OnlinePeak)/float64(max(1, c.Lacked)),
		float64(c.Kept)/1e6, float64(c.Peak)/float64(max(1, c.Lacked-c.Kept)))
	if err != nil {
		return fmt.Errorf("printing the measurement: %w", err)
	}
	return nil
}
