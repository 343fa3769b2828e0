package plan

import (
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
)

// appRole is the application server: nginx with PHP, the database and Node.js messaging.
func appRole() role {
	return role{name: site.App, disrupts: step.Container, variables: appVariables,
		samples: []string{"address: 192.0.2.10, roles: [app]"}, without: "cloud: { app: valt.example }"}
}

func appVariables(in Input, _ site.Host) map[string]string {
	app, _ := in.Site.App()
	address := app.Address
	if in.Site.Cloud != nil {
		address = in.Site.Cloud.App
	}
	return map[string]string{"VALT_APP_ADDRESS": string(address)}
}
