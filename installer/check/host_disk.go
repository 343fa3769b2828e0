package check

import (
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/survey"
)

// What the disks need to have and to do; ours (docs/assumptions.md).
const (
	rootFree          = 10 << 30
	recordingsFree    = 5       // percent
	inodesWarn        = 10      // percent
	inodesFail        = 1       // percent
	writePerCamera    = 1 << 20 // bytes a second
	writeApplication  = 20 << 20
	applicationFolder = "/var/lib" // of the database and of Docker
)

// on is the file system that holds a path.
func on(all []facts.Filesystem, path string) (facts.Filesystem, bool) {
	var best facts.Filesystem
	found := false
	for _, f := range all {
		below := f.Mount == "/" || path == f.Mount || strings.HasPrefix(path, f.Mount+"/")
		if below && (!found || len(f.Mount) > len(best.Mount)) {
			best, found = f, true
		}
	}
	return best, found
}

func judgeDisk(v view) finding {
	subject := "free space of " + v.Host.Name
	f := finding{subject: subject, status: Pass}
	paths := []string{"/", applicationFolder}
	if e := v.Facts.Engine; e != nil && e.Root != "" {
		paths = append(paths, e.Root)
	}
	var looked, short []string
	for _, p := range paths {
		fs, ok := on(v.Facts.Filesystems, p)
		if !ok || slices.Contains(looked, fs.Mount) {
			continue
		}
		looked = append(looked, fs.Mount)
		f.evidence = append(f.evidence, fmt.Sprintf("%s: %s free of %s", fs.Mount, gib(fs.Free), gib(fs.Size)))
		if fs.Free < rootFree {
			short = append(short, fs.Mount)
		}
	}
	switch {
	case len(looked) == 0:
		f.status, f.cause, f.fix = Unknown, "the host does not tell its file systems", "look at it with: df -h"
	case len(short) > 0:
		f.status, f.cause = Fail, fmt.Sprintf("less than %s free on %s", gib(rootFree), list(short))
		f.fix = "enlarge the disk, or see what fills it: sudo du -xh --max-depth=2 " + short[0] + " | sort -h | tail"
	}
	return f
}

// bootFree is what one more kernel of Ubuntu takes on /boot, with the initial file system that is
// made for it and the former one beside it while that is written, in bytes.
const bootFree = 250 << 20

// judgeBoot: a /boot of its own that runs full leaves a kernel half configured, and from then on
// every run of apt fails.
func judgeBoot(v view) finding {
	fs, ok := on(v.Facts.Filesystems, "/boot")
	if !ok || fs.Mount != "/boot" {
		return finding{}
	}
	f := finding{subject: "free space of /boot on " + v.Host.Name, status: Pass, evidence: []string{fmt.Sprintf("%s free of %s", gib(fs.Free), gib(fs.Size))}}
	if fs.Free < bootFree {
		f.status, f.cause = Warn, "the next kernel of Ubuntu may not fit, and apt installs nothing more once one was left half configured"
		f.fix = "remove the kernels that are not needed any more: sudo apt-get autoremove --purge"
	}
	return f
}

func judgeInodes(v view) finding {
	f := pass("free inodes of " + v.Host.Name)
	for _, i := range v.Survey.Inodes {
		if i.Total == 0 {
			continue // made as they are needed
		}
		left := i.Free * 100 / i.Total
		f.evidence = append(f.evidence, fmt.Sprintf("%s: %d%% free", i.Folder, left))
		if left >= inodesWarn || f.status == Fail {
			continue
		}
		f.status, f.cause = Warn, fmt.Sprintf("%s can take few more files, however much space is free", i.Folder)
		f.fix = "find the folder with the many small files: sudo du -x --inodes " + i.Folder + " | sort -n | tail"
		if left < inodesFail {
			f.status, f.cause = Fail, i.Folder+" can take hardly one more file"
		}
	}
	return f
}

func judgeRecordings(v view) finding {
	if !v.Host.HasEngine() {
		return finding{}
	}
	f := finding{subject: "the recordings' disk of " + v.Host.Name, status: Fail, evidence: []string{"recordings: " + v.Host.Recordings}}
	at := slices.IndexFunc(v.Facts.Filesystems, func(fs facts.Filesystem) bool { return fs.Mount == v.Host.Recordings })
	switch {
	case v.Host.Recordings == "":
		f.evidence = nil
		f.cause, f.fix = "the site file does not say where recordings go", "write recordings: and the folder where their file system is mounted"
		return f
	case at < 0:
		f.cause = "no file system is mounted there, so the root file system would fill up"
		f.fix = fmt.Sprintf("mount the disk there, in /etc/fstab, then: sudo mount %s", v.Host.Recordings)
		return f
	}
	fs := v.Facts.Filesystems[at]
	f.evidence = []string{fmt.Sprintf("%s: %s on %s, %s free of %s", fs.Mount, fs.Type, fs.Device, gib(fs.Free), gib(fs.Size))}
	switch {
	case fs.Size == 0:
		f.cause, f.fix = "it does not answer", "see whether its server or its disk is there: sudo dmesg | tail"
	case fs.Free*100/fs.Size < recordingsFree:
		f.status, f.cause = Warn, fmt.Sprintf("less than %d%% is free", recordingsFree)
		f.fix = "enlarge it, or shorten how long VALT keeps recordings"
	default:
		f.status = Pass
	}
	return f
}

// judgeWriteSpeed wants a media host's disk to take every camera at once, and an
// application host's to serve a database.
func judgeWriteSpeed(v view) finding {
	folder, need, what := applicationFolder, int64(writeApplication), "a database"
	if v.Host.HasEngine() && v.Host.Recordings != "" {
		folder, need = v.Host.Recordings, int64(len(v.Host.Cameras))*writePerCamera
		what = fmt.Sprintf("%d cameras at 1 MiB a second each", len(v.Host.Cameras))
	}
	f := finding{subject: fmt.Sprintf("write speed of %s on %s", folder, v.Host.Name)}
	if why := v.Survey.WriteSkipped; why != "" {
		f.status, f.cause, f.fix = Unknown, "it was not measured: "+why, "measure it when nothing is recorded, by valtctl check hosts --host "+v.Host.Name
		return f
	}
	at := slices.IndexFunc(v.Survey.Writes, func(w survey.Write) bool { return w.Folder == folder })
	if at < 0 || v.Survey.Writes[at].Err != "" {
		f.status, f.cause, f.fix = Unknown, "it was not measured", "see the other results about this host's disks"
		if at >= 0 {
			f.cause += ": " + v.Survey.Writes[at].Err
		}
		return f
	}
	w := v.Survey.Writes[at]
	f.evidence = []string{fmt.Sprintf("%d MiB/s, over %d MiB", w.BytesPerSecond>>20, w.Bytes>>20)}
	if w.BytesPerSecond < need {
		f.status, f.cause = Warn, fmt.Sprintf("%s want %d MiB/s", what, need>>20)
		f.fix = "use a faster disk, or spread the cameras over more media servers"
		return f
	}
	f.status = Pass
	return f
}
