package plan

import "ipivs.com/valtctl/installer/site"

// appRole is the application server: nginx with PHP, the database and Node.js messaging.
func appRole() role {
	return role{name: site.App}
}
