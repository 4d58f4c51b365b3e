"""Every error and warning message of the package, each under a code of its own."""

import errno
from collections.abc import Iterable
from enum import Enum

# What a disk without room says, or one that gives this user no more.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def listed(values: Iterable[object], most: int = 3) -> str:
    """The first few of some values for a message, and whether there are more."""
    parts = [str(value) for value in values]
    return ", ".join(parts[:most]) + (", ..." if len(parts) > most else "")


class _Message(str, Enum):
    """A message with named blanks; calling it fills them and puts the code in front."""

    def __call__(self, **values: object) -> str:
        return f"[{self.name}] {self.value.format(**values)}"


class Warnings(_Message):
    """Messages for ``warnings.warn``."""

    SW021 = (
        "{source}: {host} can't be asked ({reason}), so the files in the cache are "
        "used, as they were when it was asked last. HF_HUB_OFFLINE=1 does so at once."
    )
    SW130 = (
        "{folder}: never_split lists {unknown}, which the vocabulary lacks. It is cut "
        "like any word."
    )
    SW131 = (
        "max_length = {length} without truncation: longer texts are cut, as in "
        "Transformers. Say truncation = True, or False to keep them whole."
    )
    SW132 = (
        "{share:.0%} of the {count} pieces of a text are unknown ({unk}), so what is "
        "said of it means little. Likely causes: a checkpoint of another language; "
        "Hangul or accents in letters of their own "
        '(unicodedata.normalize("NFC", text) joins them); a vocabulary of lower-case '
        "words that opened with do_lower_case = false, or the other way round."
    )
    SW133 = (
        "{share:.0%} of the {what} are unknown to the vocabulary. A word of more than "
        "100 characters has no pieces: put blanks between the words of text that has "
        "none, such as Thai, or take such text out. Else the vocabulary was learned "
        "from other text."
    )
    SW134 = (
        "{share:.0%} of the letters are parts of Hangul syllables (NFD), which few "
        'other texts are written in. Join them by unicodedata.normalize("NFC", text), '
        "or `uconv -x nfc`."
    )
    SW148 = (
        "{folder}: the vocabulary holds words in the form that Sudachi calls {form}, "
        "and spaCy's tokens stand as in the text, so some words are unknown that its "
        "own tokenizer knows."
    )
    SW200 = (
        "{source} opened as {architecture}. Newly initialized, to be trained before "
        "use: {new}. Left over: {left}."
    )
    SW201 = (
        "The weights of {file} are nested under the key {key!r}, as some training "
        "scripts save them. They are read from there."
    )
    SW202 = (
        "The names of the weights of {folder} begin with {prefix!r}, a prefix that "
        "some training scripts add. It is removed."
    )
    SW300 = (
        "{source!r} is no {kind}, so the head starts from random weights. Train it "
        "before you use its scores."
    )
    SW301 = (
        "The head does not know these labels yet, so their rows start from random "
        "weights: {new}. It knows: {known}."
    )
    SW302 = (
        'config.json of {source!r} does not say "is_decoder": true, so its pieces saw '
        "what follows them in training. From now on they do not: train it on raw text "
        "before you use its surprisal or what it writes."
    )
    SW303 = (
        'config.json of {source!r} says "is_decoder": true, so a [MASK] sees only what '
        "stands before it. For words that fit both sides take a masked language model; "
        "for surprisal take the factory electra_causal_lm."
    )
    SW310 = (
        "A learning rate of {rate:g} is likely to ruin a pretrained encoder. Set it to "
        "{highest:g} or less, with a warm-up, in [training.optimizer.learn_rate]."
    )
    SW311 = (
        "Ignored settings in {section}, which have no effect there: {names}. Remove "
        "them from the config."
    )
    SW340 = (
        'A listener of {component!r} has upstream = "*", but there are several '
        "encoders: {names}. It gets the states of {name!r}, the last of them. Name the "
        "one that it should listen to."
    )
    SW346 = (
        'precision = "int8" needs some texts to choose ranges by, and has seen none, '
        'so the encoder computes as with "auto". Call nlp.initialize(get_examples), or '
        "run python -m spacy electra quantize."
    )
    SW347 = (
        'precision = "int8" needs a CPU with VNNI instructions, a torch built with '
        "oneDNN's 8-bit kernels, and an encoder with absolute positions and no causal "
        'mask, so the encoder computes as with "auto" here.'
    )
    SW370 = (
        "{count} answers of {file} are not where the file says, and are left out. The "
        "first of them: {first}."
    )
    SW400 = (
        "No document of {path} is held out, so the training will report no figures on "
        "held-out text. Give more documents or a smaller --held-out-every than {every}."
    )
    SW401 = (
        "{source!r} has no generator beside it, so the run begins with a new one. Set "
        "model.generator_from to begin with another."
    )
    SW402 = (
        "The discriminator is still at chance: AUC {auc:.3f} on unigram samples after "
        "{progress:.0%} of the training. Lengthen objective.mlm_warmup, or lower the "
        "learning rate."
    )
    SW403 = (
        "The generator (accuracy {accuracy:.1%}) is far ahead of the discriminator "
        "(AUC {auc:.3f} on its samples), which learns little from them. Lower "
        "model.generator_fraction or sampler.end, or raise sampler.rise_from."
    )
    SW440 = (
        "Of {path} these are not read as text, because commands of this package wrote "
        "them: {files}. To read one all the same, give its own path."
    )
    SW441 = "The corpus in {path} is written again from the start: {error}"
    SW442 = "Unreadable checkpoints: {problems}. The run resumes from {used}."
    SW443 = (
        "The held-out text is too short to measure these, which stay empty: {names}. "
        "Hold out more documents: a smaller --held-out-every of `prepare`."
    )
    SW444 = "Resumed with settings that change what is trained (--force): {changes}."
    SW404 = (
        "Each text is seen {epochs:.1f} times, more than training.most_repeats={most}. "
        "Much repeated text teaches little: take more of it or a smaller budget."
    )
    SW405 = (
        "{source!r} has no generator of the discriminator's shape beside it, so the "
        "head that guesses words is new. model.generator_from begins with another."
    )
    SW456 = (
        "{source!r} was trained on text in {trained!r}, but this pipeline is for "
        "{lang!r}: what it says of such text means little. Give a checkpoint of that "
        "language, or of many."
    )
    SW457 = (
        "{name} finds no gold spans in doc.spans[{key!r}], but some in: {found}. With "
        'objective = "auto" it learns from raw text then ({chosen}). Set spans_key to '
        "learn from gold spans, or the objective."
    )
    SW458 = (
        "There is no example in {path}, so nothing is measured on it. Check the path."
    )
    SW459 = (
        "Of the corpus {characters:,} characters in {documents:,} documents are held "
        "out, too few for metrics that tell checkpoints apart. Give more text, or a "
        "smaller --held-out-every than {every}."
    )
    SW640 = "{name} is left out of the annotation, as JSON has no form for it: {found}."
    SW641 = (
        "The values of the field {name!r} are of several kinds, so the column holds "
        "them as JSON."
    )
    SW642 = "doc._.{name} is left out, as a DocBin has no form for it."
    SW656 = (
        "The Ray cluster has room for {fits} workers now, and {workers} are asked for; "
        "the others begin when there is room for them."
    )


class Errors(_Message):
    """Messages for exceptions: what was wrong, with the value, and what to do."""

    # Models: SE001 to SE059
    SE001 = (
        "num_attention_heads={heads} does not divide hidden_size={width}. Choose a "
        "number of heads that does, for instance {suggestion}."
    )
    SE002 = "Unknown {name}: {value!r}. Choose one of: {choices}."
    SE003 = "{name} must be {requirement}, but is {value!r}."
    SE004 = (
        "A sequence of {length} pieces is longer than max_position_embeddings="
        "{limit}. Split it into windows of at most {limit} pieces."
    )
    SE005 = "Give either input_ids or inputs_embeds, not {given}."
    SE006 = (
        "The lengths of a packed batch add up to {total}, but it has {rows} pieces. "
        "lengths must list the number of pieces of each sequence, in order."
    )
    SE007 = "There is no preset {name!r}. Choose one of: {choices}."
    SE008 = "id2label must map numbers to names of labels, but is {names!r}."
    SE009 = (
        "id2label numbers its labels {numbers}, and num_labels is {count}. Number them "
        "from 0 up, without gaps, and leave num_labels out."
    )
    SE010 = (
        "add_cross_attention=True needs is_decoder=True: an encoder has no "
        "cross-attention. Set both, or neither."
    )
    SE011 = (
        "{name} needs a model with {needed}. Open it with "
        "from_pretrained(..., {needed}), or leave {name} out."
    )
    SE012 = (
        "{name} must have the shape [{count}, {keys}] (cached pieces count too), or "
        "one more axis between for the new pieces, but has {shape}."
    )
    SE013 = (
        "past_key_values has {found} layers of {batch} sequences, but the model has "
        "{layers} layers and the batch {count} sequences. Give what this model "
        "returned for the same sequences."
    )
    SE014 = (
        "pruned_heads must map numbers of layers to lists of heads, for instance "
        "{{0: [1, 2]}}, but is {value!r}."
    )
    SE015 = (
        "Layer {layer} can't lose the heads {heads}: the model has {layers} layers of "
        "{most} heads, both numbered from 0."
    )
    SE016 = (
        "Layer {layer} would lose all of its {most} heads, those pruned before among "
        "them. Leave it at least one."
    )
    SE017 = (
        "The embeddings given are {found} wide, but the model's are {expected} wide "
        "(embedding_size). Give some of that width."
    )
    SE018 = (
        "Multiple choice takes input_ids of the shape [B, C, S], sequences of S pieces "
        "for C choices each, or inputs_embeds [B, C, S, E], but got {shape}."
    )
    SE019 = (
        'There is no summary_type {value!r}; "attn" is not implemented in '
        "Transformers either. Choose one of: {choices}."
    )
    SE020 = (
        "A prompt needs at least one piece, for instance [CLS], but the prompts have "
        "{lengths}."
    )
    # Sources and the hub: SE021 to SE029, SE037 to SE058, and SE204 to SE207
    SE021 = (
        "{source} has the revision {revision!r}, but is {kind}, which has none. Take "
        "it off, or give a hub id (owner/name)."
    )
    SE022 = (
        "{source} has the revision {first!r}, but revision={second!r}. Give one of "
        "them."
    )
    SE023 = (
        "{source}: {revision!r} can't be a branch, tag or commit. Write one of them "
        "after the @."
    )
    SE024 = "{source} is a file. Give the folder that it lies in: {folder!r}."
    SE025 = (
        "{source} is the address of a web page. Give the hub id, owner/name, or "
        "owner/name@REVISION{suggestion}."
    )
    SE026 = (
        "{source} is neither a folder nor a bundled checkpoint ({bundled}). Did you "
        "mean {nearest!r}?"
    )
    SE027 = (
        "{source}: the cache of hub files, {cache}, lacks {missing} of {name}, and "
        "HF_HUB_OFFLINE=1 forbids to fetch it. Take that off, or where there is a "
        "network run `{command}`, and give FOLDER."
    )
    SE028 = (
        "{source}: {host} can't be reached ({reason}), and the cache does not have all "
        "of {name}. Check the network, or where there is one run `{command}`, and "
        "give FOLDER."
    )
    SE029 = (
        "{source}: {file} of {name} is damaged: its checksum is {found}..., but the "
        "hub announces {expected}.... It has been taken out of the cache. Open the "
        "source again, which fetches it anew; if that ends the same, something between "
        "here and the hub changes files."
    )
    SE030 = (
        "{file} has two weights for {ours}, {name!r} and another one, which differ. "
        "Save the model again with save_pretrained of Transformers."
    )
    SE031 = (
        "{name!r} of {file} is not a plain array of numbers stored in the file "
        "itself, but: {kind}. Save the model again with save_pretrained of "
        "Transformers."
    )
    SE032 = (
        "{file} must hold arrays and nothing else, but {name!r} is: {kind}. Save the "
        "model again with save_pretrained of Transformers."
    )
    SE033 = (
        "{folder} has several checkpoints, {files}, and no file named checkpoint that "
        "says which one is meant. Leave one of them there."
    )
    SE034 = (
        "{file} is an object-based checkpoint of TensorFlow 2, whose names do not say "
        "what the weights are. Save the model with save_pretrained of Transformers."
    )
    SE035 = (
        "{name!r} of {file} is partitioned over several variables or does not hold "
        "numbers, which no weight of an ELECTRA or BERT does. Take Google's release "
        "or a checkpoint in its format."
    )
    SE036 = (
        "{folder} has no config.json, as checkpoints of TensorFlow 1 come. Write one "
        "there. By the weights it is {config}. Check num_attention_heads, which no "
        "weight tells; Google's networks have one for 64 of hidden_size. {generator}"
    )

    SE037 = (
        "{source}: {host} has no repository {name}, or a private one. {access}. Check "
        "the name; for a private one set HF_TOKEN in the environment to a token that "
        "may read it."
    )
    SE038 = "{source}: {name} has no branch, tag or commit {revision!r}.{choices}"
    SE039 = (
        "{source}: {name} is for those alone who have agreed to its terms. {access}. "
        "Agree on its page at {host}, and set HF_TOKEN in the environment to a token "
        "of yours."
    )
    SE040 = (
        "{source}: {name} has no config.json, as every checkpoint has. It has: "
        "{files}. Check the name; if the weights are Google's, run `{command}`, and "
        "open FOLDER, which tells what config.json has to say."
    )
    SE041 = (
        "{source}: {name} has no weights in a format that opens here (safetensors, "
        "PyTorch, Flax, TensorFlow). It has: {files}."
    )
    SE042 = (
        "{source}: {host} does not give the files of {name} ({reason}). {advice}, or "
        "where they can be had run `{command}`, and give FOLDER."
    )
    SE043 = (
        "{source}: the token in use (HF_TOKEN, or that of `hf auth login`) {problem}, "
        "so {host} can't be asked for {name}. Set HF_TOKEN to a valid one, or to none."
    )
    SE044 = (
        "{source}: {file} of {name} has not come whole ({reason}). Open the source "
        "again, which goes on where it can."
    )
    SE045 = (
        "{source}: what answers at {host} is no hub ({reason}). Check HF_ENDPOINT, the "
        "proxy, and whether the network asks for a login."
    )
    SE046 = (
        "{source}: {path} can't be written ({problem}). Make room there, or set "
        "HF_HOME to a folder of yours for fetched files."
    )
    SE047 = (
        "{source}: the weights of {name} are in parts, and it lacks {part}. Ask its "
        "owner, or take another revision."
    )
    SE048 = "{source}: {name} has no tokenizer. It has: {files}. Check the name."
    SE049 = "{source}: {name} has no folder of that name. Leave it off."
    SE050 = (
        "{source} is neither a folder nor a bundled checkpoint ({bundled}). As a hub "
        "id: {error}"
    )

    # Other formats: SE060 to SE079
    SE060 = (
        "{format} files have no precision {value!r}. Set --dtype to one of: {choices}."
    )
    SE061 = (
        "--dtype {precision} for {format} rounds hidden states by their ranges, which "
        "are learned from text. Give some like yours by --texts: .txt or .jsonl files, "
        "as for `prepare`."
    )
    SE062 = "{folder} is the input. Give another folder to write to."
    SE063 = "{path} is a file. Give the name of a folder."
    SE064 = (
        "{folder} holds other files ({names}). Give a new or an empty folder, or one "
        "that `export` or `convert` has written, which is replaced."
    )
    SE065 = (
        "{source!r} opens as {architecture} with {count} new weights, which nobody has "
        "trained: {names}. Name the class that it has weights of by --class (`python "
        "-m spacy electra info` lists what each lacks), or write random ones by "
        "--allow-new."
    )
    SE066 = (
        "{pipeline} has no component {name!r} with an ELECTRA network (there are: "
        "{choices}). Name one of these by --component."
    )
    SE067 = (
        "{pipeline} has several components with an ELECTRA network: {choices}. Name "
        "one by --component."
    )
    SE068 = (
        "{name!r} uses the encoder of another component and has no network of its own. "
        "Export that one instead; there are: {choices}."
    )
    SE069 = (
        "{source!r} is a spaCy pipeline. Write one of its components by `python -m "
        "spacy electra export {source} OUTPUT --component NAME`."
    )
    SE070 = (
        "{source!r} is no spaCy pipeline, so it has no component {name!r}. Leave out "
        "--component."
    )
    SE071 = "{file} is damaged ({error}). Fetch the pipeline again, or save it again."

    # Tokenization: SE100 to SE199
    SE100 = (
        "{where} has no {missing}. Add what is missing, or name the special "
        "tokens that it has, for instance ElectraTokenizer(vocab, mask_token=...)."
    )
    SE101 = (
        "never_split lists {unknown}, which the vocabulary lacks. Add it to the "
        "vocabulary or remove it from the list."
    )
    SE102 = "The vocabulary has no piece with id {id}; its ids are below {size}."
    SE103 = (
        "{path} holds neither tokenizer.json nor vocab.txt. Give the directory of a "
        "tokenizer."
    )
    SE104 = (
        "{file} holds a tokenizer of kind {kind!r}, but ELECTRA has WordPiece. Take "
        "the tokenizer that the checkpoint was trained with."
    )
    SE105 = (
        "A vocabulary of {size} pieces has no room beside the {special} special ones. "
        "Take a larger one, for instance 8192."
    )
    SE106 = "The texts hold no word to make pieces of. Check the corpus."
    SE120 = (
        "The text {text!r} has {length} pieces and goes with every window of another "
        "text, but leaves too little of a window of {window}. Set window = {needed} or "
        "more, up to the encoder's max_position_embeddings, or shorten the text."
    )
    SE130 = "{file} can't be used: {error}. Fetch it again, or fix it."
    SE131 = (
        "{where}: {name} must be {requirement}, but is {value!r}. Correct it, or "
        "remove it."
    )
    SE132 = (
        "The tokenizer of {folder} is {kind}, but ELECTRA's WordPiece is served alone: "
        "with it, nearly every word would be unknown. Choose a checkpoint with a "
        "WordPiece tokenizer; if this one cuts plain text as BERT's does, say so by "
        '"tokenizer_class": "ElectraTokenizer" in its tokenizer_config.json.'
    )
    SE133 = (
        "The tokenizer of {folder} cuts text into words by {cutter!r} before WordPiece "
        "cuts the words; over plain text nearly every word would be unknown. Set "
        'words = "spacy" (in tokenizer_config of the encoder, or '
        'ElectraTokenizer.from_pretrained(path, words="spacy")): spaCy\'s tokens are '
        "the words then. Take a pipeline of the language, for instance "
        'spacy.blank("ja").'
    )
    SE134 = (
        "{where}: {token!r} has the id {id!r}. Ids are whole numbers from 0 to below "
        "{largest:,}."
    )
    SE135 = (
        "{where}: {token!r} is added with the id {id}, but has the id {other}. The "
        "files are not those of one tokenizer: fetch all of them again."
    )
    SE136 = (
        "{where}: the added token {token!r} has the id {id}, which is that of "
        "{other!r}. Give it another one."
    )
    SE137 = "A text must be {wanted}, but one is a {kind}: {value}."
    SE138 = "{name} can't be {value!r}. Choose one of: {choices}."
    SE139 = (
        "Cutting {total} pieces to max_length = {length} by {by!r} leaves nothing of a "
        'text. Take a larger max_length, or truncation = "longest_first".'
    )
    SE140 = (
        "The rows of {name!r} are of unequal length, so they make no tensor. Set "
        "padding = True, and truncation = True where rows may be too long."
    )
    SE141 = (
        "return_overflowing_tokens with truncation = {by!r} would cut both texts of a "
        'pair. Set truncation = "only_first" or "only_second".'
    )
    SE142 = (
        "stride = {stride} leaves nothing new for the next row: {room} pieces of the "
        "text fit into one. Take a smaller stride or a larger max_length."
    )
    SE143 = (
        'This tokenizer has words = "spacy": it takes words, not texts. Call it with '
        "lists of words and is_split_into_words=True, or in a spaCy pipeline."
    )
    SE144 = (
        "The tokenizer of {source!r} has {count} pieces beyond the {rows} rows of the "
        "embedding table: {names}. Take the tokenizer that the weights were trained "
        "with, or, after adding tokens, the weights with a larger table."
    )
    SE145 = (
        "{first} texts came with {second} as text_pair. Give two lists of equal length."
    )
    SE146 = "pad needs 'input_ids', but got {found}. Give what the tokenizer returned."
    SE147 = (
        "A text has half of a surrogate pair, which is no character: {text}. Remove "
        'it, for instance by text.encode("utf8", "ignore").decode("utf8").'
    )
    SE148 = (
        "{folder}: {share:.0%} of the pieces are words of several Chinese characters "
        "({words}), and this tokenizer makes each such character a word of its own. "
        'Where a program cut the words, as for Japanese, set words = "spacy"; where '
        "they are cut at white space alone, tokenize_chinese_chars = false."
    )
    SE149 = (
        "spaCy can't make a pipeline for the language {lang!r}: {error} Name another "
        "by --lang, for instance xx, or install what it asks for."
    )

    # Checkpoints: SE200 to SE299
    SE200 = "{folder} has no {names}. {advice}"
    SE201 = (
        "{folder} holds a model of type {kind!r}, not ELECTRA. Choose a checkpoint "
        'whose config.json says "model_type": "electra", or "bert".'
    )
    SE202 = "{file} is broken or cut short ({error}). Fetch it again."
    SE203 = (
        "{name} has shape {found} in {folder}, but {expected} by its config.json. "
        "Weights and config.json must come from one checkpoint."
    )
    SE204 = (
        "{source} is neither a folder nor a bundled checkpoint ({bundled}). To take it "
        "from the Hugging Face hub, `pip install spacy-electra[hub]`."
    )
    SE205 = "{source}: there is no such folder. {hint}"
    SE206 = (
        "{source}: {name} could not be fetched from {host} ({error}). Where it can "
        "be, run `{command}`, and give FOLDER."
    )
    SE207 = (
        "{source} is empty. Give a directory, a bundled checkpoint "
        "({bundled}) or a hub id."
    )
    SE208 = (
        "{folder} lacks {count} of the {total} weights of the encoder: {names}. {hint}"
    )
    SE209 = (
        "config.json of {folder} says num_hidden_layers={expected}, but its weights "
        "have {found} layers. Weights and config.json must come from one checkpoint."
    )
    SE210 = "{file} can't be read ({error}). Fetch it again."
    SE211 = "{file} is not a regular file. Fetch all files of the checkpoint."
    SE212 = (
        "{file} claims to hold {claimed:,} bytes of weights, but has {size:,} bytes in "
        "all. It is broken; fetch it again."
    )
    SE213 = (
        "{file} is cut short or holds more than tensors, and nothing but tensors is "
        "ever unpickled here. Fetch it again, or ask its maker for model.safetensors."
    )
    SE214 = (
        "{file} does not hold a mapping from names to tensors. Save the model's "
        "state_dict() instead."
    )
    SE215 = "{file} does not fit: {error}"
    SE216 = (
        "{count} weights of {folder} are not finite: {names}. The checkpoint is "
        "damaged, or its training failed; take an earlier one."
    )

    SE217 = (
        "{count} weights of {folder} are no floating point numbers but {kinds}: "
        "{names}. Take the checkpoint as it was before it was quantized."
    )

    # Layers: SE300 to SE349
    SE300 = (
        "The model has no weights yet. Call nlp.initialize(), or run the pipeline on "
        "a text: both read them from the encoder's `source`."
    )
    SE301 = "There is nothing to backpropagate: the model ran with is_train=False."
    SE302 = (
        "The window of {window} pieces is longer than max_position_embeddings={limit} "
        "of {source!r}. Set window = {limit} or less."
    )
    SE320 = (
        "The pieces of this batch are not those that {upstream!r} was updated with. "
        "Update the components on the Docs that the encoder got, in one nlp.update()."
    )
    SE321 = (
        "{upstream!r} has neither been updated with these Docs nor set its states on "
        "them. Where it is frozen, name it in training.annotating_components too."
    )
    SE322 = (
        "frozen_layers={frozen}, but the encoder has {layers} layers. Choose a number "
        "up to that."
    )
    SE323 = (
        "`electra` and TransformerModel need spacy-transformers, which is not "
        "installed. Run "
        "`pip install spacy-electra[transformers]`."
    )
    SE325 = (
        "EncoderListener can't read the value of doc._.trf_data: it needs the states "
        "of pieces that an `electra` component without get_spans sets."
    )
    SE326 = (
        "This EncoderListener is not linked to an encoder. Add an `electra` component "
        'before it whose name is {upstream!r} ("*" is any).'
    )
    SE327 = (
        "The states of a Doc are gone: with store = false they leave it when every "
        "listener of the pipeline has read them. Run `electra` on it again, or set "
        "store = true."
    )
    SE330 = (
        "A TextPair has both before={before!r} and after={after!r}. A pair is of two "
        "texts: give one of them, or join them to one."
    )
    SE331 = (
        "This encoder can't take a pair of texts: its checkpoint has type_vocab_size="
        "{types}, so it can't tell one from the other. Take a checkpoint that has 2."
    )

    SE340 = (
        "The saved {part} is damaged ({error}). Fetch the pipeline again, or save it "
        "again."
    )
    SE341 = (
        "The saved {part} needs {total} weights, but of those saved {problems}. Fetch "
        "the pipeline again, or save it again."
    )
    SE344 = (
        "What was saved of the model {name!r} does not match its structure: parts are "
        "missing or left over. Fetch the pipeline again, or save it again."
    )
    SE345 = (
        "The saved {part} has no weights, but was saved with some. Fetch the pipeline "
        "again, or save it again."
    )
    SE342 = (
        "{upstream!r} has not run on this Doc, but a component needs its states. "
        "Enable it, before the components that listen to it; in training, name it in "
        "training.annotating_components where one of them annotates."
    )
    SE343 = (
        "A component listens to {upstream!r}, but the pipeline has: {names}. If that "
        "was renamed, set the new name as the upstream of the listener in the config."
    )

    SE346 = (
        "{source!r} is no pipeline. Name one that nlp.to_disk saved, or an installed "
        "package."
    )
    SE347 = (
        "No component of {source!r} has an ELECTRA encoder of its own: {names}. "
        "Nothing can be quantized."
    )
    SE348 = (
        "{text} has too few words to choose the ranges of 8-bit integers by. Give some "
        "pages of text like yours."
    )

    # Pipeline: SE350 to SE399
    SE350 = (
        "No example has spans under {key!r} (there are: {found}), so there is nothing "
        "to learn from. Put the replaced words into doc.spans[{key!r}], an empty list "
        "where there are none, or set spans_key."
    )
    SE351 = (
        "The generator has {name}={found}, the discriminator {expected}; but they "
        "share their embeddings. Set pretraining.generator to one that fits, or to "
        "null for a new one."
    )
    SE352 = (
        'objective = "pretrain" trains an encoder of the component\'s own, but its '
        'encoder is an EncoderListener. Set objective = "supervised", or the encoder '
        "to spacy-electra.Encoder.v1."
    )
    SE353 = (
        "score_attribute and flag_attribute are both {name!r}. Give each a name of its "
        "own: one holds a probability, the other a yes or no."
    )
    SE354 = (
        "token._.{name} exists already, with a getter or as a method, so what the "
        "component sets there would never be read. Choose another {key}."
    )
    SE360 = (
        "There are no vectors on this Doc. Run an `electra` component on it; with "
        "store = false set set_tensor = true, which keeps them in doc.tensor."
    )
    SE361 = (
        "The model of {name!r} is a {found}, but must be of the architecture "
        "spacy-electra.TransformerModel.v1. For other networks take the factory "
        "`transformer` of spacy-transformers."
    )
    SE385 = (
        "A window of {window} pieces has no room for a word of {pieces} pieces between "
        "[CLS] and [SEP]. Set max_pieces lower or window higher."
    )
    SE386 = (
        "{source!r} is no decoder: its pieces see what follows them, so they can't "
        "predict it. Give electra_causal_lm an encoder of its own "
        "(spacy-electra.Encoder.v1), or the `electra` upstream a checkpoint whose "
        'config.json says "is_decoder": true.'
    )

    # Questions and choices: SE370 to SE384
    SE370 = (
        "An answer from character {start} to {end} is not in the text, which has "
        "{length} characters. Count characters from 0, and give the one after the last."
    )
    SE371 = (
        "doc._.answers has {answers} entries, but doc._.questions has {questions}. "
        "Give one for each question, None where there is no answer."
    )
    SE372 = (
        "doc._.{name} must be a list of strings, but is {value!r}. Put one text alone "
        "in a list as well."
    )
    SE373 = (
        "A gold answer must be a Span of the same Doc with at least one token, a list "
        "of such Spans, or None, but is {value!r}."
    )
    SE374 = (
        "The two Docs of an example have different {what}. Set the same on both, as "
        "spacy-electra.SQuADCorpus.v1, MCTestCorpus.v1 and ChoiceCorpus.v1 do, and "
        "spacy-electra.DocCorpus.v1 for .spacy files."
    )
    SE375 = "{file}, line {line}, column {column}: not JSON ({error}). Fix the file."
    SE376 = "{place} must be {requirement}, but is {value}. Fix the file."
    SE377 = (
        "{place}: the answer {text!r} is not at character {start} of its context "
        '(there: {found!r}). Correct its answer_start, or set not_found = "skip" to '
        "leave out such answers."
    )
    SE378 = (
        "{file}, line {line}: {found} columns between tabs, but MCTest has {expected} "
        "there. Fix the file."
    )
    SE379 = (
        "doc._.choice = {choice!r}, but there are {count} choices. Give the number of "
        "the right one, from 0."
    )
    SE380 = "There is nothing at {path}. Give a {ending} file or a folder of them."
    SE381 = (
        "There is no {file} with the answers to {stories}. Put it there; stories "
        "without answers can't be used to train or to evaluate."
    )
    SE382 = (
        "doc._.{name} exists already with a getter, setter or method, so it can't "
        "hold what this component needs. Remove the other one with "
        "Doc.remove_extension({name!r})."
    )
    SE383 = (
        "No example has doc._.{gold} on its reference, so there is nothing to learn "
        "about doc._.{asked}. Set it on the reference Docs."
    )
    SE384 = (
        'This checkpoint has summary_type = "{found}", but over windows a choice is '
        'read from [CLS] alone. Take one with summary_type = "first", as all of '
        "Transformers' defaults are."
    )

    SE395 = (
        "Labels of spans are letters with a type (B-PER, I-PER) beside O, or bare "
        'types, but not both; these do not fit: {labels}. Set annotates = "tokens" for '
        "labels that mean no spans."
    )

    SE396 = (
        "{source!r} was trained for {found}, but the config says "
        "problem_type={wanted!r}. Set it to null, or take another checkpoint."
    )
    SE397 = (
        "doc.cats of an example has {cats}, which is no {requirement}. Correct the "
        "example, or set problem_type."
    )
    SE398 = (
        "No example has {what}, so there are no labels to learn. Check the training "
        "data, or give the labels in [initialize.components.{name}]."
    )

    SE399 = (
        "The gold annotation has labels that the component lacks: {unknown} (it has: "
        "{known}). Initialize it with them, or correct the data."
    )

    # Pretraining: SE400 to SE499
    SE400 = "There is nothing at {path}. Give a text file or a folder of them."
    SE401 = "There is no text in {path}: its files must end in one of: {endings}."
    SE402 = (
        "{file}, line {line}: not UTF-8 text ({error}). Convert the file, for instance "
        "with iconv."
    )
    SE403 = "{file} is broken or cut short ({error}). Fetch or compress it again."
    SE404 = (
        '{file}, line {line}: expected a JSON object with a "text" that is a string. '
        "Fix or remove the line."
    )
    SE405 = (
        "{path} has no {name}, so it is not a whole tokenized corpus. Write it again "
        "with `python -m spacy electra prepare`."
    )
    SE406 = (
        "{path} holds {found} piece ids, but its meta data say {tokens}: it was cut "
        "short. Write it again with `python -m spacy electra prepare`."
    )
    SE407 = "The corpus has no text to train on. Check its path and form."
    SE408 = (
        "The corpus gives {found} sequences, fewer than a batch of {batch_size}. Take "
        "more text or a smaller data.batch_size."
    )
    SE409 = (
        "torch {version} has no Muon. Install torch 2.9 or later, or set "
        'optimizer.name = "adamw_reference".'
    )
    SE410 = "Set training.max_steps or training.max_minutes: a run needs an end."
    SE411 = "Unknown {kind}: {name!r}. Choose one of: {choices}."
    SE412 = "Section [{section}] does not fit: {error}."
    SE413 = (
        "Loss or gradient at step {step} is not finite (MLM loss {mlm}, RTD loss "
        "{rtd}). {advice}"
    )
    SE414 = (
        "{what} need {package}, which is not installed: "
        "`pip install spacy-electra[{extra}]`."
    )
    SE415 = (
        "There is no log at {path}. Give the output folder of `python -m spacy electra "
        "pretrain`."
    )
    SE416 = "{path} has no line yet. Wait for the first report of the run."
    SE417 = (
        "{file} has zero bytes, so it is not UTF-8 text. Convert it, for instance with "
        "iconv, or take it out of the corpus."
    )
    SE418 = (
        '{file} has no column "{column}" of strings; its columns: {found}. Rename the '
        "one that holds the text, or name it where the command takes --text-field."
    )
    SE419 = (
        "{path} was made with another vocabulary than the one in its folder "
        '"tokenizer". Write it again with `python -m spacy electra prepare`.'
    )
    SE420 = (
        "{path} has {found} entries in {name}, but its meta data say {expected}: it "
        "was cut short. Write it again with `python -m spacy electra prepare`."
    )
    SE421 = (
        "The corpus gives {found} pieces, fewer than a batch of {batch_tokens}. Take "
        "more text or a smaller data.batch_tokens."
    )
    SE422 = (
        "{folder} has {name}={found}, but the config says {expected}. Set it to "
        "{found} in the config, or begin from another checkpoint."
    )
    SE423 = (
        "The disk of {path} is full: {needed} needed, {free} free. Nothing is lost: "
        "what was written before is whole. Make room and go on with --resume."
    )
    SE424 = (
        "{folder} was trained with another vocabulary than the one of {shards}. Take "
        "the shards of that run, or start a new run with model.init_from."
    )
    SE425 = (
        "training.trackers names {name}, which is not installed: `pip install "
        "{name}`, or remove it from the list."
    )
    SE426 = "Another run works in {path}. Wait for it, or give this one its own folder."
    SE427 = (
        "{path} holds the checkpoints of a run. Resume it with --resume, or give "
        "another folder."
    )
    SE428 = (
        "{file}, line {line}: {found} columns, but a row of CoNLL-U has 10. Give a "
        "treebank in that format."
    )
    SE429 = "There is no sentence to learn from or to measure on. Check the treebank."
    SE430 = (
        "The disk of {path} is full. What the folder held before is whole. Make room "
        "and run the command again."
    )
    SE431 = (
        "The sampler 'word' has to count the words of a corpus, and there is none "
        "here. Choose it in a config for `spacy electra pretrain`, or take 'frequency'."
    )
    SE432 = (
        "Timed out waiting for {missing} of {size} processes. Check their logs, and "
        "the network between the machines."
    )
    SE433 = (
        "torch {version} has no fully_shard. Install torch 2.6 or later, or set "
        'training.parallel = "ddp".'
    )
    SE434 = (
        'Muon needs whole matrices, and training.parallel = "fsdp" shards them. Set '
        'optimizer.name = "adamw_reference", or training.parallel = "ddp".'
    )
    SE435 = (
        'With objective.name = "electric" the generator must not see what it predicts, '
        "so set objective.mask_replaced = 1.0 (it is {value})."
    )
    SE440 = (
        "Another `prepare` writes to {path}. Wait for it, or give this one its own "
        "folder."
    )
    SE441 = (
        "--held-out-every {every} keeps all {documents} documents apart, and none is "
        "left to train on. Set it higher, or give more documents."
    )
    SE442 = "{file} can't be read ({error}). Change its permissions, or leave it out."
    SE443 = (
        "The tokenized corpus in {path} is damaged ({what}). Write it again with "
        "`python -m spacy electra prepare`."
    )
    SE444 = "{path}: {problem}. {advice}"
    SE445 = "Step {step} has ruined the weights, so they are not saved. {advice}"
    SE446 = (
        "Settings are not those of {folder} and change what is trained: {changes}. Set "
        "them as they were, or add --force to go on all the same."
    )
    SE447 = (
        "No checkpoint of {path} can be read: {problems}. Start again in another "
        "folder."
    )
    SE449 = (
        "Unknown option {option}. Settings of the config go by their section: "
        "--section.key value, with the sections {sections}."
    )
    SE450 = "There is no device {device!r} here ({error}). Choose one of: {choices}."
    SE451 = (
        "{path} holds the result of a run without its checkpoints. Give another folder."
    )
    SE453 = "{path} is no config in spaCy's format: {error}"
    SE454 = (
        "{file}, the sentence that ends at line {line}: the word numbers are "
        "inconsistent ({error}). Give a treebank in CoNLL-U."
    )
    SE455 = (
        "{path} is no log of a run ({error}). Give the output folder of `python -m "
        "spacy electra pretrain`."
    )
    SE456 = (
        "The training data has no example, so {name} can't be trained. Check the path "
        "and the form of the data."
    )
    SE457 = (
        "{name!r} would overwrite what {other!r} sets, or the other way round: "
        "{places}. {advice}."
    )
    SE458 = (
        "There is no example to train on in {path}: it is empty, or holds white space "
        "or other forms alone. Check the path in the config."
    )
    SE452 = "Stopped after step {step:,}, of which {folder} is the checkpoint."
    SE459 = (
        "There is no file {path} of misspellings. Give the path of one in "
        "sampler.misspellings."
    )
    SE460 = (
        "{path} has no misspellings: a line of it has to be as recieve->receive. Give "
        "another file in sampler.misspellings."
    )
    SE461 = (
        'Errors of the kind "misspelling" come from a list. Give its file in '
        "sampler.misspellings, or the kind no weight in [sampler.errors]."
    )
    SE470 = (
        "optimizer.layer_decay={value} with optimizer.name={name}. Give a number above "
        '0 and at most 1, and one below 1 only with "adamw" or "adamw_reference".'
    )
    SE471 = (
        'The objective "errors" needs positive weights in [sampler.errors], which '
        "holds {value}. Give one to each kind of error that is to occur, none below 0."
    )
    SE472 = (
        "{name} has values that are infinite or NaN, and can't be quantized. Take a "
        "checkpoint from before the training diverged."
    )
    SE473 = (
        "{name} has the shape {shape}, and its scales {scales}: rows of int8 need one "
        "scale each. The file is broken; fetch it again."
    )
    SE474 = (
        "{folder} takes the weights of its encoder from the folder above it, and "
        "there is no {name}. Copy both together, or write the checkpoint again with "
        "`python -m spacy electra export`."
    )
    # Suggestions and `scan`: SE500 to SE529
    SE500 = (
        "Suggestions for marked words come from a generator, and {name!r} has none: "
        "there is none {where}. Name one of the same vocabulary by `generator = "
        "SOURCE` in its config, or set suggestions = 0."
    )
    SE501 = (
        "The generator in {folder} has another vocabulary than the detector ({found}; "
        "the detector has {expected}). Give one that was trained with the same "
        "tokenizer, or set suggestions = 0."
    )
    SE502 = (
        "The checkpoint in {folder} is no generator: it has no head of a masked "
        "language model, so what it suggests would be random. Give another."
    )
    SE503 = (
        "span._.{name} exists already, with a getter or as a method, so what the "
        "component sets there would never be read. Choose another {key}."
    )
    SE504 = "Give --threshold or --false-marks, not both: each decides what is marked."
    SE505 = (
        "{name} is no text in UTF-8: {problem}. Convert it (`iconv -f latin1 -t utf8`, "
        "for instance), or leave it out."
    )
    SE506 = (
        "No file is meant by {path!r}. Give files, folders (in which files with an "
        "ending of {endings} are read), globs, or - for standard input."
    )
    SE530 = (
        "{words:,} words of clean text are too few for {rate:g} false marks per 1,000 "
        "words: a detector of that rate would often mark none of them. Give at least "
        "{needed:,} words (with that many, 95 % of such texts have a mark), or a "
        "higher rate."
    )
    SE531 = (
        "false_marks_per_1000 = {rate:g}, but the {words:,} words of {domain!r} give "
        "thresholds only for rates from {lowest:g} to {highest:g}. Choose a rate "
        "between them, or run `python -m spacy electra calibrate` on {needed:,} words "
        "or more."
    )
    SE532 = "{text} has no words. Give clean text of the kind to be marked."
    SE533 = (
        "There is no calibration table at {path}. `python -m spacy electra calibrate "
        "TEXT SOURCE` writes one, from clean text of your own."
    )
    SE534 = (
        "{file} is not a calibration table: {problem}. `python -m spacy electra "
        "calibrate TEXT SOURCE` writes a new one."
    )
    SE535 = (
        "Of {words:,} words that have a score, {wrong:,} are wrong. Fitting "
        "probabilities takes text with wrong and right words: mark the wrong ones as "
        "spans of the gold Docs."
    )
    SE536 = (
        "Words with higher scores are not wrong more often here (slope {slope:.3g}), "
        "so no temperature turns them into probabilities. Check the gold spans, or "
        "train the component."
    )
    SE537 = (
        "{setting} needs a calibration table, and {name!r} has none: there is no "
        "calibration.json beside the weights of {source!r}. Run `python -m spacy "
        "electra calibrate TEXT SOURCE` on clean text of your own, or use "
        "`threshold`."
    )
    SE538 = (
        "{setting} needs a calibration table, and that of {name!r} was measured with "
        "other weights: they were trained since, or the file comes from another "
        "checkpoint. Train with false_marks_per_1000 = null and calibrated = false, "
        "and run `python -m spacy electra calibrate TEXT SOURCE` afterwards."
    )
    SE539 = (
        "calibrated = true, but no probabilities were fitted to the scores of "
        "{name!r}. Run `python -m spacy electra calibrate TEXT SOURCE --gold "
        "FILE.spacy`, with gold spans of wrong words."
    )
    SE540 = (
        "{source} should have one component electra_rtd, and has: {found}. Give a "
        "pipeline with one, or a checkpoint."
    )
    SE541 = (
        "No Doc of {file} has spans {key!r}. Mark wrong words as `doc.spans[{key!r}]` "
        "of the gold Docs; Docs without errors get an empty list."
    )
    SE542 = (
        "There is no file {path}, and it looks like the name of one. Check the path; "
        "a text given as an argument has spaces between its words."
    )
    SE543 = (
        "A page has no option {name!r}. Choose one of: {choices}; pieces and threshold "
        "come from `nlp`."
    )
    SE544 = (
        "Only Docs and Spans can be shown, not {kind}. Give what `nlp(text)` returns."
    )
    SE680 = "{path} exists. Give another name, or --force to write over it."
    # Annotation and training on several machines: SE640 to SE679
    SE640 = (
        "The annotation can't go to the field {field!r}, which holds the text. Give "
        "another --annotation-field."
    )
    SE641 = (
        "{place}: there is a field {field!r} already, where the annotation is to go. "
        "Give another --annotation-field."
    )
    SE642 = "{place}: the field {field!r} holds no text."
    SE643 = (
        "{place}: a text of {length} characters, but at most {longest} are taken. Set "
        "--max-length, or cut the text."
    )
    SE644 = (
        "The results in {output} would be read as input, which is {path}. Put them "
        "outside of it."
    )
    SE645 = (
        "There is no {name!r} to write. Take doc.ents, doc.spans, doc.sents, doc.cats, "
        "an attribute of spaCy's tokens such as token.tag, or an extension attribute "
        "of the pipeline such as token._.rtd_score, doc._.answers or span._.NAME."
    )
    SE646 = (
        "{name} can't be written, as JSON has no form for it: {found}. Leave it out "
        "of --annotations."
    )
    SE647 = "A row can't be written as JSON: {error}."
    SE648 = (
        "There is no pipeline {pipeline!r} ({error}). Give the name of an installed "
        "package, or a folder that nlp.to_disk wrote."
    )
    SE649 = (
        "No component of the pipeline reads doc._.{name}. Correct --inputs, or take "
        "another pipeline."
    )
    SE650 = (
        "One of {processes} processes was killed, probably for lack of memory. Take "
        "fewer, or a smaller --shard-size or --batch-size, and resume with --resume."
    )
    SE651 = "Another run writes to {path}. Wait for it, or give another folder."
    SE652 = (
        "{path} holds results without the {manifest} of their run. Give another folder."
    )
    SE653 = (
        "{path} holds results already. Add --resume to go on, or give another folder."
    )
    SE654 = (
        "{path} holds the results of another run: {changes}. Run it as before, or give "
        "another folder."
    )
    SE655 = "{file} is damaged ({error}). Give another folder."
    SE656 = (
        "Another process of this training has ended, so this one can't go on. Its "
        "message, or torchrun's report, says why."
    )
    SE657 = (
        "Attention weights stay where they are computed, so several processes can't "
        "train together with output_attentions. Remove it from transformer_config, or "
        "train with one process."
    )
    SE658 = (
        "Process {rank} made another pipeline of the config than process 0: {part} "
        "differs. All of them need the same packages and files; if labels come from a "
        "Python set, sort them, or set the environment variable PYTHONHASHSEED."
    )
    SE659 = (
        "The processes read other texts in step {step}. A corpus or batcher must give "
        "all of them the same, in one order: take random numbers from Python's "
        "`random` alone, and sort what comes from a set."
    )
    SE660 = (
        "{processes} processes need GPUs {first} to {last}, but this machine has "
        "{count}. Start fewer (torchrun --nproc-per-node), or take --gpu-id -1 for "
        "the CPU."
    )
    SE661 = (
        "Ray's workers died {tries} times over {what} ({error}), likely for want of "
        "memory. Take fewer (--n-process), or a smaller --shard-size or --batch-size, "
        "and go on with --resume."
    )
    SE662 = (
        "Ray's workers died {tries} times over {what} ({error}), likely for want of "
        "memory. Give each more of it, and run the command again."
    )
