package lab

import "context"

// Camera is one of the lab's cameras, for the hook that starts them.
type Camera struct {
	Name    string // "camera1"; its container is Lab.Container(Name)
	Address string
	Media   string // the media host it is assigned to
}

// Hooks are the parts of Up that know what VALT is.
type Hooks struct {
	// Prepare begins as soon as the engine answers, beside everything else: building
	// images.
	Prepare func(context.Context, *Lab) error
	// Publish begins when Prepare has ended and the world answers: pushing images,
	// publishing releases. It must leave the file root.json in the state folder.
	Publish func(context.Context, *Lab) error
	// Cameras begins when Prepare has ended and the network is there. It removes
	// cameras that are not listed.
	Cameras func(context.Context, *Lab, []Camera) error
}
