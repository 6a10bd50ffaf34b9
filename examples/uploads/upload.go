// Uploads what comes on standard input, with its digest as a trailer: the data is read only once, and its size need not be known.
// The proxy refuses the upload with 400 if a byte changes on the way.
//
// Usage: OS_IMAGE_URL=http://127.0.0.1:9292 OS_TOKEN=... go run upload.go IMAGE_ID <FILE
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
)

// hashed passes data on, and sets the trailer when the data has ended.
type hashed struct {
	io.Reader
	sum     hash.Hash
	trailer http.Header
}

func (h *hashed) Read(piece []byte) (int, error) {
	n, err := h.Reader.Read(piece)
	h.sum.Write(piece[:n])
	if err == io.EOF {
		digest := base64.StdEncoding.EncodeToString(h.sum.Sum(nil))
		h.trailer.Set("Content-Digest", "sha-256=:"+digest+":")
	}
	return n, err
}

func upload(url, token, imageID string, data io.Reader) error {
	// An announced trailer, which has no value yet. The proxy does not check a trailer that is not announced.
	trailer := http.Header{"Content-Digest": nil}
	body := &hashed{data, sha256.New(), trailer}
	request, err := http.NewRequest("PUT", url+"/v2/images/"+imageID+"/file", body)
	if err != nil {
		return err
	}
	request.Trailer = trailer
	request.Header.Set("X-Auth-Token", token)
	request.Header.Set("Content-Type", "application/octet-stream")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%s: %s", answer.Status, text)
	}
	return nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run upload.go IMAGE_ID <FILE")
		os.Exit(2)
	}
	url := os.Getenv("OS_IMAGE_URL")
	if url == "" {
		url = "http://127.0.0.1:9292"
	}
	if err := upload(url, os.Getenv("OS_TOKEN"), os.Args[1], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
