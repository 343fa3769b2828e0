package lab

import (
	"testing"

	"golang.org/x/sys/unix"

	"ipivs.com/valtctl/repos/testneeds"
)

func TestAMachineWithUnifiedControlGroupsAloneIsKnown(t *testing.T) {
	testneeds.Of(t, testneeds.Root)
	folder := t.TempDir()
	if alone, err := isUnified(folder); err != nil || alone {
		t.Errorf("an empty folder: %v, %v", alone, err)
	}
	if err := unix.Mount("none", folder, "cgroup2", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	}()
	if alone, err := isUnified(folder); err != nil || !alone {
		t.Errorf("control groups of the second version: %v, %v", alone, err)
	}
	if _, err := isUnified(folder + "/none"); err == nil {
		t.Error("a folder that is not there is no error")
	}
}

// Whoever needs the second version gets a whole tree of it, and on a machine that has no other everybody does.
func TestControlGroupsAreOfTheVersionThatIsNeeded(t *testing.T) {
	testneeds.Of(t, testneeds.Root)
	alone, err := isUnified(machineGroups)
	if err != nil {
		t.Fatal(err)
	}
	for _, unified := range []bool{true, false} {
		tree, err := groupTree(unified)
		if err != nil || (tree != "") != (unified || alone) {
			t.Fatalf("needs the second version: %v; gets %q, %v", unified, tree, err)
		}
		if tree == "" {
			continue
		}
		if is, err := isUnified(tree); err != nil || !is {
			t.Errorf("%s is not of the second version: %v", tree, err)
		}
	}
}
