package schedule

import "time"

// Notice is what people are told, once by each way that the site file names.
type Notice struct {
	Kind    string    `json:"kind"` // "look-ahead", "update", "missed", "test"
	Site    string    `json:"site"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	Time    time.Time `json:"time"`
	// Problem says that a person has to do something.
	Problem bool `json:"problem"`
	// Report is the report that is attached, as JSON; nil: there is none.
	Report []byte `json:"report,omitempty"`
	// Ways are those by which it has yet to be sent.
	Ways []string `json:"ways,omitempty"`
}
