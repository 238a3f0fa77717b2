package image

import "strings"

// fails reports whether err is an error that contains text.
func fails(err error, text string) bool {
	return err != nil && strings.Contains(err.Error(), text)
}
