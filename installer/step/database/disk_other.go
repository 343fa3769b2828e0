//go:build !linux

package database

import "errors"

// diskOf is asked on hosts alone.
func diskOf(string) (disk, error) { return disk{}, errors.New("this is no host of VALT") }

// isMount is asked on hosts alone.
func isMount(string) (bool, error) { return false, errors.New("this is no host of VALT") }
