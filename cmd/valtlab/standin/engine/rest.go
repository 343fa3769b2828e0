package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// The REST interface's fixed names.
const (
	serverName = "_defaultServer_"
	vhostPath  = "/v2/servers/" + serverName + "/vhosts/_defaultVHost_"
	appPath    = vhostPath + "/applications/{app}"
	instance   = appPath + "/instances/_definst_"
)

// object is a JSON object.
type object map[string]any

// rest is the REST interface on 8087, version 2: first the allow-list, then digest
// authentication, then the question.
func (e *engine) rest() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/machine/monitoring/current", e.machine)
	mux.HandleFunc("GET "+vhostPath+"/applications", e.applications)
	mux.HandleFunc("GET "+appPath+"/monitoring/current", known(e.monitoring))
	mux.HandleFunc("GET "+instance, known(e.instance))
	mux.HandleFunc("GET "+instance+"/streamrecorders", known(e.listRecorders))
	mux.HandleFunc("POST "+instance+"/streamrecorders", known(e.createRecorder))
	mux.HandleFunc("POST "+instance+"/streamrecorders/{name}", known(e.createRecorder))
	mux.HandleFunc("GET "+instance+"/streamrecorders/{name}", known(e.showRecorder))
	mux.HandleFunc("PUT "+instance+"/streamrecorders/{name}/actions/stopRecording", known(e.stopRecorder))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "The stand-in has no such resource")
	})
	return e.allowed(newDigestAuth(e.password, e.now).wrap(mux))
}

// allowed refuses whoever is not on the allow-list.
func (e *engine) allowed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !slices.Contains(e.allow, from.Addr().Unmap()) {
			fail(w, http.StatusForbidden, "The address is not on the REST interface's allow-list")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// known lets only questions about the one application through.
func known(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("app") != application {
			fail(w, http.StatusNotFound, "There is no application "+r.PathValue("app"))
			return
		}
		next(w, r)
	}
}

func (e *engine) machine(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, object{"serverName": serverName, "standIn": true, "serverVersion": version,
		"serverUptime": e.uptime(), "licenseType": e.licenceNow(), "activeRecorders": e.active()})
}

func (e *engine) uptime() int64 { return int64(e.now().Sub(e.started) / time.Second) }

// active counts the recorders that record.
func (e *engine) active() int {
	n := 0
	for _, r := range e.recorders.list() {
		if r.state == recorderActive {
			n++
		}
	}
	return n
}

func (e *engine) applications(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, object{"serverName": serverName, "applications": []object{
		{"id": application, "href": vhostPath + "/applications/" + application, "appType": "Live"}}})
}

func (e *engine) monitoring(w http.ResponseWriter, _ *http.Request) {
	n := e.rtmp.connections.Load()
	answer(w, http.StatusOK, object{"serverName": serverName, "standIn": true, "uptime": e.uptime(),
		"bytesIn": e.rtmp.read.Load(), "bytesOut": 0, "totalConnections": n, "connectionCount": object{"RTMP": n}})
}

func (e *engine) instance(w http.ResponseWriter, _ *http.Request) {
	incoming := []object{}
	for _, s := range e.streams.list() {
		incoming = append(incoming, object{"name": s.name, "sourceIp": s.source, "isConnected": s.connected, "isRecordingSet": e.recording(s.name),
			"standIn": object{"server": s.server, "options": s.methods, "describe": s.media, "error": s.err}})
	}
	answer(w, http.StatusOK, object{"serverName": serverName, "name": "_definst_", "incomingStreams": incoming,
		"outgoingStreams": []object{}, "recorders": e.recorderObjects()})
}

func (e *engine) recording(name string) bool {
	return slices.ContainsFunc(e.recorders.list(), func(r recorderInfo) bool { return r.name == name })
}

func (e *engine) recorderObjects() []object {
	list := []object{}
	for _, r := range e.recorders.list() {
		list = append(list, e.recorderObject(r))
	}
	return list
}

// recorderObject has durations in milliseconds and sizes in bytes.
func (e *engine) recorderObject(r recorderInfo) object {
	o := object{"recorderName": r.name, "instanceName": "_definst_", "recorderState": r.state, "defaultRecorder": false,
		"segmentationType": "None", "fileFormat": "MP4", "currentFile": r.path, "currentSize": r.size, "currentDuration": 0, "recordingStartTime": ""}
	if !r.started.IsZero() {
		o["currentDuration"] = e.now().Sub(r.started).Milliseconds()
		o["recordingStartTime"] = r.started.Format("2006-01-02-15.04.05.000-07:00")
	}
	return o
}

func (e *engine) listRecorders(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, object{"serverName": serverName, "instanceName": "_definst_", "streamrecorder": e.recorderObjects()})
}

func (e *engine) showRecorder(w http.ResponseWriter, r *http.Request) {
	for _, x := range e.recorders.list() {
		if x.name == r.PathValue("name") {
			answer(w, http.StatusOK, e.recorderObject(x))
			return
		}
	}
	fail(w, http.StatusNotFound, errNoRecorder.Error())
}

func (e *engine) createRecorder(w http.ResponseWriter, r *http.Request) {
	var body struct {
		RecorderName string `json:"recorderName"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&body); err != nil && r.PathValue("name") == "" {
		fail(w, http.StatusBadRequest, fmt.Sprintf("reading the body: %v", err))
		return
	}
	name := r.PathValue("name")
	if name == "" {
		name = body.RecorderName
	}
	if err := e.recorders.create(name); err != nil {
		fail(w, statusOf(err), err.Error())
		return
	}
	answer(w, http.StatusCreated, object{"success": true, "message": "Recorder Created", "data": nil})
}

func (e *engine) stopRecorder(w http.ResponseWriter, r *http.Request) {
	if err := e.recorders.stop(r.PathValue("name")); err != nil {
		fail(w, statusOf(err), err.Error())
		return
	}
	answer(w, http.StatusOK, object{"success": true, "message": "Recording (" + r.PathValue("name") + ") stopped", "data": nil})
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, errNoRecorder):
		return http.StatusNotFound
	case errors.Is(err, errRecorder):
		return http.StatusConflict
	case errors.Is(err, errName):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

func fail(w http.ResponseWriter, status int, message string) {
	answer(w, status, object{"success": false, "message": message, "code": fmt.Sprint(status), "standIn": true})
}

func answer(w http.ResponseWriter, status int, o object) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(o) //nolint:errcheck // the client has gone
}
