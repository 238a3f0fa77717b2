// Package docs has the test that runs the commands of README and of the documents.
package docs
