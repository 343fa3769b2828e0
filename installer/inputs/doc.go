// Package inputs reads what a run is made of besides its hosts: the files that a site file
// names, the certificate authorities that the site trusts, and the release, verified, from
// the vendor's repository or from a bundle. It connects to no host and changes nothing but
// the controller's own copy of the release metadata.
package inputs
