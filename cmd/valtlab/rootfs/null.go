package rootfs

import (
	"fmt"
	"io/fs"
	"os"
)

// CheckNull says what is wrong with this machine's /dev/null. A program that an image build
// runs as root can break it (one that removes and makes its output file does), and then
// programs of other users fail with causes that name something else: apt, whose helpers
// run as _apt, says that neither gpgv nor another verifier seems installed.
func CheckNull() error {
	info, err := os.Stat(os.DevNull)
	if err != nil {
		return fmt.Errorf("looking at this machine's %s: %w", os.DevNull, err)
	}
	return judgeNull(info.Mode())
}

func judgeNull(mode fs.FileMode) error {
	const device = fs.ModeDevice | fs.ModeCharDevice
	if mode.Type() == device && mode.Perm() == 0o666 {
		return nil
	}
	return fmt.Errorf("this machine's %[1]s is %[2]s instead of %[3]s, so that apt verifies nothing and much else fails: "+
		"put it right with: rm -f %[1]s && mknod -m 666 %[1]s c 1 3", os.DevNull, mode, device|0o666)
}
