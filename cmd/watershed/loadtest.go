package main

import (
	"context"
	"os"
	"time"

	"watershed/cmd/watershed/loadtest"
)

type loadtestCmd struct {
	Whep loadtestWhepCmd `cmd:"" help:"WebRTC viewers with a browser's feedback: they count and verify, and decode nothing."`
	Hls  loadtestHLSCmd  `cmd:"" help:"LL-HLS viewers that ask for all that hls.js asks for, or requests that all wait for one playlist."`
	Chat loadtestChatCmd `cmd:"" help:"People in one room: how long a message takes to everybody, and whether it comes once and in order."`
}

type loadtestChatCmd struct {
	URL      string        `arg:"" default:"ws://127.0.0.1:8080/ws" help:"The socket."`
	Room     string        `default:"lobby" help:"Room; every stream has one of its name."`
	People   int           `short:"n" default:"200" help:"Sockets in the room."`
	Speakers int           `default:"20" help:"Of them, who talk."`
	Messages float64       `default:"20" help:"Messages a second, of all who talk together."`
	Join     float64       `default:"200" help:"Sockets that join each second."`
	Duration time.Duration `short:"d" default:"10s" help:"How long they talk."`
	Token    string        `env:"WATERSHED_TOKEN" help:"Token of a moderator, whom no limit stops."`
	PID      int           `name:"pid" help:"Process id of the server, to measure its CPU and memory."`
}

func (c *loadtestChatCmd) Run(ctx context.Context) error {
	load := loadtest.Chat{
		URL: c.URL, Room: c.Room, People: c.People, Speakers: c.Speakers, Messages: c.Messages, Join: c.Join, Duration: c.Duration,
		Token: c.Token, PID: c.PID, Progress: os.Stderr,
	}
	r, err := load.Run(ctx)
	if err != nil {
		return err
	}
	r.Print(os.Stdout)
	return r.Err()
}

type loadtestWhepCmd struct {
	URLs     []string      `arg:"" name:"url" help:"WHEP endpoints, such as http://127.0.0.1:8080/whep/cam0; viewers are spread over them."`
	Viewers  int           `short:"n" default:"100" help:"Viewers."`
	Rate     float64       `default:"100" help:"Viewers that join each second."`
	Duration time.Duration `short:"d" default:"20s" help:"Time measured after all have joined."`
	Loss     float64       `help:"Fraction of datagrams that the tester drops, both ways."`
	Delay    time.Duration `help:"Delay of what viewers send."`
	Habit    string        `enum:"proper,deaf,flood" default:"proper" help:"What they do amiss: deaf ones stop reading, a flood asks for repeats and pictures as fast as it can."`
	Token    string        `env:"WATERSHED_TOKEN" help:"Bearer token for streams that are not public."`
	PID      int           `name:"pid" help:"Process id of the server, to measure its CPU and memory."`
	Metrics  string        `default:"http://127.0.0.1:9600/metrics" help:"The server's metrics, for its GSO hit rate."`
}

func (c *loadtestWhepCmd) Run(ctx context.Context) error {
	load := loadtest.WHEP{
		URLs: c.URLs, Viewers: c.Viewers, Rate: c.Rate, Duration: c.Duration, Loss: c.Loss, Delay: c.Delay, Habit: loadtest.Habit(c.Habit),
		Token: c.Token, PID: c.PID, Metrics: c.Metrics, Progress: os.Stderr,
	}
	r, err := load.Run(ctx)
	if err != nil {
		return err
	}
	r.Print(os.Stdout)
	return nil
}

type loadtestHLSCmd struct {
	URLs     []string      `arg:"" name:"url" help:"Multivariant playlists, such as http://127.0.0.1:8080/hls/cam0/index.m3u8; viewers are spread over them."`
	Viewers  int           `short:"n" default:"100" help:"Viewers."`
	Rate     float64       `default:"50" help:"Viewers that join each second."`
	Duration time.Duration `short:"d" default:"20s" help:"Time measured after all have joined."`
	PerConn  int           `name:"per-connection" default:"100" help:"Viewers that share a connection with HTTP/2, a pool of them without."`
	Blocked  int           `help:"Instead of viewers: so many requests, each on a connection of its own, that wait for one playlist."`
	Rounds   int           `default:"3" help:"With --blocked: how often."`
	Insecure bool          `help:"Take any certificate."`
	PID      int           `name:"pid" help:"Process id of the server, to measure its CPU and memory."`
	Origin   string        `name:"origin-metrics" help:"Metrics of the Watershed node behind the caches, such as http://127.0.0.1:9600/metrics: how often an object was fetched there."`
}

func (c *loadtestHLSCmd) Run(ctx context.Context) error {
	if c.Blocked > 0 {
		load := loadtest.Blocked{URL: c.URLs[0], Requests: c.Blocked, Rounds: c.Rounds, Insecure: c.Insecure, PID: c.PID, Progress: os.Stderr}
		r, err := load.Run(ctx)
		if err != nil {
			return err
		}
		r.Print(os.Stdout)
		return r.Err()
	}
	load := loadtest.HLS{
		URLs: c.URLs, Viewers: c.Viewers, Rate: c.Rate, Duration: c.Duration, PerConn: c.PerConn, Insecure: c.Insecure,
		PID: c.PID, Origin: c.Origin, Progress: os.Stderr,
	}
	r, err := load.Run(ctx)
	if err != nil {
		return err
	}
	r.Print(os.Stdout)
	return nil
}
