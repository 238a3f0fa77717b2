package main

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/timesync"
)

// traceLine returns a line for any datagram.
func traceLine(e timesync.Event) string {
	from := fmt.Sprintf("from %d:%d: ", e.From.CID, e.From.Port)
	if e.Action == timesync.Refuse {
		return from + "refused: " + boot.Line(e.Err) + "\n"
	}
	return from + eventLine(e, false, false)
}

// eventLine returns a line, or a JSON object on one, for a datagram that was accepted. With
// reportOnly, nothing was done about it.
func eventLine(e timesync.Event, reportOnly, asJSON bool) string {
	if asJSON {
		object := struct {
			OffsetNs int64  `json:"offsetNs"`
			Action   string `json:"action"`
			Done     bool   `json:"done"`
			Error    string `json:"error,omitzero"`
		}{int64(e.Offset), e.Action.String(), !reportOnly && e.Err == nil, ""}
		if e.Err != nil {
			object.Error = boot.Line(e.Err)
		}
		return jsonLine(object)
	}
	action := e.Action.String()
	switch {
	case e.Err != nil:
		action = "not " + action + ": " + boot.Line(e.Err)
	case reportOnly && e.Action != timesync.Keep:
		action = "would be " + action
	}
	return fmt.Sprintf("offset %v: %s\n", e.Offset, action)
}

// countsLine returns a line, or a JSON object on one, with the counts.
func countsLine(c timesync.Counts, asJSON bool) string {
	if asJSON {
		return jsonLine(struct {
			Received uint64 `json:"received"`
			Refused  uint64 `json:"refused"`
			Stepped  uint64 `json:"stepped"`
			Slewed   uint64 `json:"slewed"`
			OffsetNs int64  `json:"offsetNs"`
		}{c.Received, c.Refused, c.Stepped, c.Slewed, int64(c.Offset)})
	}
	return fmt.Sprintf("received %d, refused %d, stepped %d, slewed %d, last offset %v\n",
		c.Received, c.Refused, c.Stepped, c.Slewed, c.Offset)
}

// jsonLine returns an object as JSON on one line. It can't fail: the objects are structs of numbers
// and texts, and bytes that are not UTF-8 are replaced.
func jsonLine(object any) string {
	text, _ := json.Marshal(object, jsontext.SpaceAfterColon(true), jsontext.SpaceAfterComma(true),
		jsontext.AllowInvalidUTF8(true))
	return string(text) + "\n"
}
