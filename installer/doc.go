// Package installer is the controller's side of Install: it connects to the hosts,
// gathers their facts, makes the plan, has every host look at it, starts the hosts'
// transactions and follows them. The hosts do the work by themselves (installer/txn), so
// losing the controller stops nothing. It prints nothing: what happens goes to an
// Observer, what came of it into a Result.
package installer
