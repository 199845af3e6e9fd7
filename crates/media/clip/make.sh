#!/bin/sh
# Makes the built-in test content. Needs Debian's ffmpeg 5.1 and fonts-dejavu-core; writes beside itself.
#
# Two pictures, A and B, in two renditions, and one sound: 240 frames at 25 a second, cut into 5 segments of
# 48/25 s, which is 90 AAC frames of 1024 samples at 48 kHz too. The files of A and B have equal headers, so that
# a player may change from one to the other at any segment. The clip loops without a seam: every segment begins
# with an IDR frame, and the sound is cut out of the middle of a longer run, where the coder has settled.
set -eu
cd "$(dirname "$0")"
font=/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf
exact="-fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1"
fragments="-movflags +empty_moov+default_base_moof+frag_keyframe -f mp4"

# picture LETTER TINT: a tinted ground, the moving test pattern in a corner, the letter, and a clock of the clip.
picture() {
    printf '%s' "color=c=$2:s=640x360:r=25:d=9.6[ground];\
testsrc2=s=256x144:r=25:d=9.6[pattern];[ground][pattern]overlay=360:108,\
drawtext=fontfile=$font:text=$1:fontsize=260:fontcolor=white:x=60:y=(h-text_h)/2,\
drawtext=fontfile=$font:text='%{eif\:t\:d\:2}.%{eif\:mod(n\,25)\:d\:2}':fontsize=44:fontcolor=white:x=360:y=280,\
drawtext=fontfile=$font:text='HEADWATER  %{eif\:n\:d\:3}/240':fontsize=22:fontcolor=white:x=360:y=50,format=yuv420p"
}

# video LETTER TINT RENDITION SIZE KBPS
video() {
    out="$(printf '%s' "$1" | tr AB ab)-$3.mp4"
    for pass in 1 2; do
        if [ $pass = 1 ]; then target="-f null -"; else target="$fragments $out"; fi
        ffmpeg -v error -y -filter_complex "$(picture "$1" "$2"),scale=$4:flags=lanczos" $exact \
            -c:v libx264 -profile:v main -level:v 3.0 -preset veryslow -threads 1 \
            -b:v "$5k" -maxrate "$5k" -bufsize "$5k" -pass $pass -passlogfile pass \
            -g 48 -keyint_min 48 -sc_threshold 0 -bf 0 -refs 2 -flags:v +bitexact+cgop \
            -x264-params "weightp=0:open-gop=0:nal-hrd=none" \
            -bsf:v filter_units=remove_types=6 -video_track_timescale 12800 $target
    done
    rm -f pass-*
}

# A soft tone and a beep at the start of each segment; both fit whole into the clip's 9.6 s.
sound() {
    tone="0.04*sin(2*PI*220*t)+0.03*sin(2*PI*330*t)+0.12*sin(2*PI*880*t)*lt(mod(t\,1.92)\,0.12)*sin(PI*mod(t\,1.92)/0.12)"
    ffmpeg -v error -y -f lavfi -i "aevalsrc=exprs=$tone:s=48000:d=28.8" $exact -c:a aac -b:a 64k -ac 1 pass-sound.mp4
    ffmpeg -v error -y -ss 9.6 -i pass-sound.mp4 -t 9.6 $exact -c copy -frag_duration 1920000 \
        -movflags +empty_moov+default_base_moof -f mp4 audio.mp4
    rm -f pass-sound.mp4
}

for rendition in "v360 640:360 250" "v180 320:180 90"; do
    video A 0x1b3a6b $rendition
    video B 0x6b2a1b $rendition
done
sound
