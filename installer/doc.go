// Package installer is the controller's side of Install: over a fleet that is connected to
// (installer/fleet) it plans a release that was verified (installer/inputs), has every host
// compare itself with its plan, refuses what must not be touched, has the hosts begin their
// transactions and follows them. A Run is what Install and package updater drive, and Check
// asks the same hosts without changing them. The hosts do the work by themselves
// (installer/txn), so losing the controller stops nothing. It prints nothing: what happens
// goes to an event.Observer, what came of it into a Result.
package installer
